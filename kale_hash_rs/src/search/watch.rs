//! How event loops wait: a file descriptor that becomes readable when there is news.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::schedule::Schedule;
use crate::error::Error;

/// The schedule's end of a [`Watch`].
pub struct Watcher {
    sender: UnixStream,
    /// Whether the other end is readable.
    rung: bool,
    /// The numbers of the jobs that ended since the last look.
    ended: Vec<u64>,
}

impl Watcher {
    /// A watcher that nothing was told yet, and the socket that it makes readable.
    pub fn pair() -> Result<(Self, UnixStream), Error> {
        let (sender, receiver) = UnixStream::pair().map_err(Error::Watch)?;
        receiver.set_nonblocking(true).map_err(Error::Watch)?;
        Ok((Self { sender, rung: false, ended: Vec::new() }, receiver))
    }

    /// Tells that there is news, of the end of the job called `ended` too.
    pub fn ring(&mut self, ended: Option<u64>) {
        self.ended.extend(ended);
        if !self.rung {
            // One byte always fits. It fails only if the other end is gone, which then is about to say so.
            self.rung = self.sender.write_all(&[0]).is_ok();
        }
    }
}

/// Lets an event loop wait for an engine: poll it for reading, then [`Watch::take`].
pub struct Watch {
    number: u64,
    schedule: Arc<Schedule>,
    receiver: UnixStream,
}

impl Watch {
    pub(super) fn new(schedule: &Arc<Schedule>) -> Result<Self, Error> {
        let (number, receiver) = schedule.watch()?;
        Ok(Self { number, schedule: Arc::clone(schedule), receiver })
    }

    /// Makes the descriptor wait for further news; returns the numbers of the jobs that ended since the last call.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub fn take(&self) -> Result<Vec<u64>, Error> {
        self.schedule.check_process()?;
        Ok(self.schedule.look(self.number, |watcher| {
            let mut bytes = [0; 16];
            let read = (&self.receiver).read(&mut bytes);
            debug_assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
            watcher.rung = false;
            std::mem::take(&mut watcher.ended)
        }))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.schedule.check_process().is_ok() {
            self.schedule.unwatch(self.number);
        }
    }
}
