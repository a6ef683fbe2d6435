//! What the engine refuses.

use soroban_env_host::HostError;
use stellar_xdr::Error as XdrError;
use thiserror::Error;

/// Every error of the engine. A transaction that the ledger rejects is a result, not an error.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Bytes or base64 from outside that are not the XDR type they should be.
    #[error("{what} is not valid XDR: {source}")]
    InvalidXdr {
        /// What was to be decoded, for example "transaction envelope".
        what: &'static str,
        /// Why it could not be.
        source: XdrError,
    },
    /// The settings file has a wrong shape or lacks a cost parameter.
    #[error("ledger settings: {0}")]
    InvalidSettings(String),
    /// The transaction can not be simulated: not a single contract operation, or an unknown authorisation mode.
    #[error("cannot simulate: {0}")]
    InvalidSimulation(String),
    /// A ledger must close later than the one before.
    #[error("close time {given} is not after the last ledger's close time {last}")]
    InvalidCloseTime {
        /// The time asked for, in seconds since 1970.
        given: u64,
        /// The last closed ledger's.
        last: u64,
    },
    /// The bytes are no snapshot of this engine, of another version, or damaged.
    #[error("snapshot: {0}")]
    InvalidSnapshot(String),
    /// A fault switch was given a value it can not apply.
    #[error("{0}")]
    InvalidFault(String),
    /// The contract host failed in a way that no transaction should be able to cause.
    #[error("contract host: {0}")]
    Host(String),
}

impl EngineError {
    pub(crate) fn host(error: &HostError) -> Self {
        Self::Host(error.to_string())
    }
}
