//! The crate's one error type.

use crate::kernel::Kernel;

/// Why an engine or a search could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel asked for does not exist, or this CPU lacks what it needs.
    #[error("this CPU cannot run a kernel named {name:?}; it can run: {}", kernel_names())]
    KernelUnavailable {
        /// The name asked for.
        name: String,
    },
    /// The engine was closed before the call.
    #[error("the engine is closed")]
    Closed,
    /// The engine was made by a process of which this one is a fork: its threads do not exist here.
    #[error("the engine belongs to process {owner}, of which this process is a fork: make a new engine here")]
    Forked {
        /// The process that made the engine.
        owner: u32,
    },
    /// An argument is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// The operating system refused the threads.
    #[error("the engine's threads could not be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The operating system refused a descriptor to watch an engine with.
    #[error("the engine cannot be watched: {0}")]
    Watch(#[source] std::io::Error),
}

fn kernel_names() -> String {
    Kernel::available().iter().map(|kernel| kernel.name()).collect::<Vec<_>>().join(", ")
}
