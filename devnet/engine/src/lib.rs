//! The engine of the local ledger: Stellar transactions applied by the contract engine that the network itself runs.
//!
//! [`LedgerEngine`] takes transactions ([`LedgerEngine::submit`]), closes ledgers ([`LedgerEngine::close`]) and answers
//! for what they hold. Rules come from the protocol: validity in `validity`, places and prices in `queue`, classic
//! operations in `operations`, contract operations in `soroban`, records in `record`. What a transaction writes goes
//! into a `Draft` over the closed ledger's `Store` and is committed only if all of it succeeds.

#![allow(
    clippy::must_use_candidate,
    reason = "nearly every function here only reads: the attribute on all would say nothing"
)]
#![allow(
    clippy::result_large_err,
    reason = "operation results are the protocol's type, 192 bytes, made once per operation"
)]

mod apply;
mod close;
mod codec;
mod context;
mod diagnostics;
mod draft;
mod envelope;
mod error;
mod genesis;
mod ledger;
mod nonce;
mod operations;
mod queue;
mod record;
mod reserves;
mod results;
mod settings;
mod signatures;
mod simulate;
mod snapshot;
mod soroban;
mod state;
mod store;
mod validity;

pub use close::ClosedTransaction;
pub use codec::{encode, encode_base64};
pub use envelope::SubmittedTransaction;
pub use error::EngineError;
pub use ledger::{LedgerEngine, Status, Submission};
pub use nonce::search_nonce;
pub use record::ClosedLedger;
pub use store::Slot;
