//! The whole ledger as bytes and back. Waiting transactions are not part of it.

use crate::codec::{decode, decode_base64, encode, encode_base64, sha256};
use crate::error::EngineError;
use crate::ledger::LedgerEngine;
use crate::record::ClosedLedger;
use crate::state::State;
use crate::store::{Slot, Store, Writes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stellar_xdr::LedgerEntry;

const MAGIC: &[u8; 12] = b"kale-devnet\n";
/// Grows with every change of the form.
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 32;

/// Everything but the entries.
#[derive(Serialize, Deserialize)]
struct Preface {
    passphrase: String,
    header_xdr: String,
    metadata_xdr: String,
    state_digest: String,
    base_fee_stroops: u32,
    entries: usize,
}

impl LedgerEngine {
    /// The ledger as bytes: magic, version, preface, entries with their lives, checksum.
    ///
    /// # Errors
    /// Never in practice: the preface is plain text and numbers.
    pub fn snapshot(&self) -> Result<Vec<u8>, EngineError> {
        let preface = Preface {
            passphrase: self.passphrase.clone(),
            header_xdr: encode_base64(&self.last.header),
            metadata_xdr: self.last.metadata_xdr.clone(),
            state_digest: hex::encode(self.state.digest().0),
            base_fee_stroops: self.base_fee(),
            entries: self.state.store().len(),
        };
        let preface = serde_json::to_vec(&preface).map_err(|error| invalid(&error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_be_bytes());
        push_block(&mut bytes, &preface)?;
        for (_, slot) in self.state.store().iter() {
            push_block(&mut bytes, &encode(slot.entry.as_ref()))?;
            bytes.push(u8::from(slot.live_until.is_some()));
            bytes.extend(slot.live_until.unwrap_or(0).to_be_bytes());
        }
        bytes.extend(sha256(&bytes));
        Ok(bytes)
    }

    /// Takes up a ledger from [`Self::snapshot`]'s bytes.
    ///
    /// # Errors
    /// When the bytes are something else, damaged, or of another version.
    pub fn restore(snapshot: &[u8]) -> Result<Self, EngineError> {
        let mut reader = Reader { bytes: snapshot };
        if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(invalid("these bytes are no snapshot of a local ledger"));
        }
        let version = reader.number()?;
        if version != VERSION {
            return Err(invalid(&format!(
                "version {version} can not be read, only version {VERSION}; start a new ledger"
            )));
        }
        let (content, checksum) = snapshot.split_at(snapshot.len().saturating_sub(CHECKSUM_BYTES));
        if sha256(content) != checksum {
            return Err(invalid("the checksum does not match: the bytes are damaged or cut off"));
        }
        let preface: Preface = serde_json::from_slice(reader.block()?).map_err(|error| invalid(&error.to_string()))?;
        let mut writes = Writes::new();
        for _ in 0..preface.entries {
            let entry: LedgerEntry = decode(reader.block()?, "entry of the snapshot")?;
            let has_life = reader.take(1)? == [1];
            let live_until = Some(reader.number()?).filter(|_| has_life);
            writes.insert(entry.to_key(), Some(Slot { entry: Arc::new(entry), live_until }));
        }
        let mut store = Store::default();
        store.commit(writes);
        let header: stellar_xdr::LedgerHeaderHistoryEntry = decode_base64(&preface.header_xdr, "ledger header")?;
        let digest = from_hex(&preface.state_digest)?;
        let digest = digest.try_into().map_err(|_| invalid("the state digest must have 32 bytes"))?;
        let state = State::new(header.header.ledger_version, store, digest)?;
        let last = ClosedLedger { header, metadata_xdr: preface.metadata_xdr };
        let mut engine = Self::resume(preface.passphrase, state, last)?;
        engine.set_base_fee(preface.base_fee_stroops)?;
        Ok(engine)
    }
}

fn invalid(message: &str) -> EngineError {
    EngineError::InvalidSnapshot(message.to_owned())
}

fn from_hex(text: &str) -> Result<Vec<u8>, EngineError> {
    hex::decode(text).map_err(|error| invalid(&error.to_string()))
}

fn push_block(bytes: &mut Vec<u8>, block: &[u8]) -> Result<(), EngineError> {
    let length = u32::try_from(block.len()).map_err(|_| invalid("a part is longer than 4 GiB"))?;
    bytes.extend(length.to_be_bytes());
    bytes.extend(block);
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], EngineError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| invalid("the bytes are cut off"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, EngineError> {
        let bytes = self.take(4)?.try_into().map_err(|_| invalid("the bytes are cut off"))?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn block(&mut self) -> Result<&'a [u8], EngineError> {
        let length = self.number()?;
        self.take(length as usize)
    }
}
