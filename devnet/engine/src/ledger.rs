//! The local ledger: takes transactions, closes ledgers, answers for what it holds.

use crate::close::{ClosedTransaction, apply_all, transaction_set};
use crate::codec::{decode_base64, sha256};
use crate::context::{Config, LedgerContext, setting_key};
use crate::draft::Draft;
use crate::envelope::SubmittedTransaction;
use crate::error::EngineError;
use crate::genesis::{genesis_header, genesis_state};
use crate::queue::{Admission, Queue, Selection};
use crate::record::{ClosedLedger, record, result_set_hash, scp_value};
use crate::results::plain_result;
use crate::settings::Settings;
use crate::state::State;
use crate::store::{Slot, Store};
use crate::validity::check;
use soroban_env_host::ModuleCache;
use soroban_env_host::meta::INTERFACE_VERSION;
use std::collections::BTreeMap;
use stellar_xdr::{
    AccountId, ConfigSettingEntry, ConfigSettingId, DiagnosticEvent, Hash, LedgerEntryData, LedgerHeader, LedgerKey,
    TransactionResult, TransactionResultResult,
};

/// Ledgers between two searches for expired temporary entries.
const EVICTION_PERIOD: u32 = 64;

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for a ledger.
    Pending,
    /// The very same waits already.
    Duplicate,
    /// Another one of its source account waits.
    TryAgainLater,
    /// It is invalid.
    Error,
}

/// The answer to a submission.
#[derive(Debug)]
pub struct Submission {
    /// What became of it.
    pub status: Status,
    /// Hash of the envelope on this network.
    pub hash: [u8; 32],
    /// Why it is invalid.
    pub error: Option<TransactionResult>,
    /// The same in words, for contract transactions.
    pub diagnostics: Vec<DiagnosticEvent>,
}

/// A local ledger with its queue. Deterministic: the same calls give the same ledger hashes.
pub struct LedgerEngine {
    pub(crate) passphrase: String,
    network_id: [u8; 32],
    config: Config,
    pub(crate) state: State,
    pub(crate) last: ClosedLedger,
    /// That of the next ledger, in stroops.
    base_fee: u32,
    queue: Queue,
}

impl LedgerEngine {
    /// A new ledger whose genesis, ledger 1, closed at `genesis_time` (seconds since 1970) and where one account,
    /// with the network id as its seed, holds everything.
    ///
    /// # Errors
    /// When the settings are invalid or the contract engine does not know the protocol.
    pub fn new(settings_json: &str, passphrase: &str, protocol: u32, genesis_time: u64) -> Result<Self, EngineError> {
        let settings = Settings::from_json(settings_json)?;
        let state = genesis_state(&settings, passphrase, protocol)?;
        let config = load_config(protocol, &state)?;
        let (set, tx_set_hash) = transaction_set(&Hash::default(), &Selection::default());
        let header = genesis_header(&settings, protocol, scp_value(tx_set_hash, genesis_time), state.digest());
        let last = record(&config, &state, header, set, Vec::new(), Vec::new());
        Ok(Self::assemble(passphrase.to_owned(), config, state, last))
    }

    /// Takes up a ledger where it was left; the queue starts empty.
    pub(crate) fn resume(passphrase: String, state: State, last: ClosedLedger) -> Result<Self, EngineError> {
        let config = load_config(last.header.header.ledger_version, &state)?;
        Ok(Self::assemble(passphrase, config, state, last))
    }

    fn assemble(passphrase: String, config: Config, state: State, last: ClosedLedger) -> Self {
        let network_id = sha256(passphrase.as_bytes());
        let base_fee = last.header.header.base_fee;
        Self { passphrase, network_id, config, state, last, base_fee, queue: Queue::default() }
    }

    /// The last closed ledger.
    pub fn last(&self) -> &ClosedLedger {
        &self.last
    }

    /// The last closed ledger's number.
    pub fn sequence(&self) -> u32 {
        self.last.header.header.ledger_seq
    }

    /// The last closed ledger's time, in seconds since 1970.
    pub fn close_time(&self) -> u64 {
        self.last.header.header.scp_value.close_time.0
    }

    /// The network's passphrase.
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }

    /// Seed of the account that held everything at genesis.
    pub fn root_seed(&self) -> [u8; 32] {
        self.network_id
    }

    /// Lowest inclusion fee of one operation in the next ledger, in stroops.
    pub fn base_fee(&self) -> u32 {
        self.base_fee
    }

    /// How many transactions wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many entries the ledger has.
    pub fn entries(&self) -> usize {
        self.state.store().len()
    }

    /// The entry under a base64 `LedgerKey` with the last ledger it lives in; archived entries are found, expired
    /// temporary ones are not.
    ///
    /// # Errors
    /// When the key is not valid XDR.
    pub fn entry(&self, key_xdr: &str) -> Result<Option<Slot>, EngineError> {
        let key: LedgerKey = decode_base64(key_xdr, "ledger key")?;
        Ok(self.state.store().get(&key, self.sequence()).cloned())
    }

    /// Checks a base64 envelope and lets it wait for the next ledger.
    ///
    /// # Errors
    /// When it is not valid XDR; a transaction that the ledger refuses is an answer, not an error.
    pub fn submit(&mut self, envelope_xdr: &str) -> Result<Submission, EngineError> {
        let transaction = SubmittedTransaction::decode(envelope_xdr, self.network_id)?;
        let hash = transaction.hash;
        let answer = |status| Submission { status, hash, error: None, diagnostics: Vec::new() };
        let refusal = |code, fee| Submission { error: Some(plain_result(code, fee)), ..answer(Status::Error) };
        match self.queue.admission(&transaction) {
            Admission::Free | Admission::Replaces => {}
            Admission::Duplicate => return Ok(answer(Status::Duplicate)),
            Admission::Occupied => return Ok(answer(Status::TryAgainLater)),
            Admission::BadSequence => return Ok(refusal(TransactionResultResult::TxBadSeq, 0)),
            Admission::FeeTooLow(fee) => return Ok(refusal(TransactionResultResult::TxInsufficientFee, fee)),
        }
        let context = self.next_context(self.close_time());
        let draft = Draft::new(self.state.store(), context.ledger);
        let owed = self.queue.owed(&transaction.payer(), &transaction.source());
        if let Err(rejection) = check(&context, &draft, &transaction, owed) {
            let diagnostics = rejection.diagnostics;
            return Ok(Submission { error: Some(rejection.result), diagnostics, ..answer(Status::Error) });
        }
        self.queue.push(transaction);
        Ok(answer(Status::Pending))
    }

    /// Closes the next ledger at `close_time` (seconds since 1970): waiting transactions that are no longer valid are
    /// dropped, those that find a place are applied, the others go on waiting.
    ///
    /// # Errors
    /// When the time is not after the last ledger's, or the contract engine fails.
    pub fn close(&mut self, close_time: u64) -> Result<Vec<ClosedTransaction>, EngineError> {
        if close_time <= self.close_time() {
            return Err(EngineError::InvalidCloseTime { given: close_time, last: self.close_time() });
        }
        let modules = self.state.modules().clone();
        let Self { config, state, last, queue, network_id, base_fee, .. } = self;
        let context = LedgerContext {
            base_fee: i64::from(*base_fee),
            ..context(config, &modules, &last.header.header, *network_id, close_time)
        };
        drop_invalid(&context, state.store(), queue);
        let selection = queue.select(&context, last.header.header.max_tx_set_size.into());
        let (set, tx_set_hash) = transaction_set(&last.header.hash, &selection);
        let (closed, fees) = apply_all(&context, state, selection)?;
        let ledger = context.ledger;
        let evicted = if ledger.is_multiple_of(EVICTION_PERIOD) { state.evict(ledger) } else { Vec::new() };
        let previous = last.header.header.clone();
        let header = LedgerHeader {
            previous_ledger_hash: last.header.hash.clone(),
            scp_value: scp_value(tx_set_hash, close_time),
            tx_set_result_hash: result_set_hash(&closed),
            bucket_list_hash: state.digest(),
            ledger_seq: ledger,
            fee_pool: previous.fee_pool + fees,
            base_fee: *base_fee,
            ..previous
        };
        *last = record(config, state, header, set, closed.clone(), evicted);
        Ok(closed)
    }

    /// Fault: forgets all waiting transactions.
    pub fn drop_queue(&mut self) {
        self.queue.clear();
    }

    /// Fault: the lowest fee of one operation from the next ledger on, in stroops.
    ///
    /// # Errors
    /// When it is 0.
    pub fn set_base_fee(&mut self, stroops: u32) -> Result<(), EngineError> {
        if stroops == 0 {
            return Err(EngineError::InvalidFault("the base fee must be at least 1 stroop".to_owned()));
        }
        self.base_fee = stroops;
        Ok(())
    }

    /// Fault: ends an entry's life with the last closed ledger; false if there is no such entry or it has no life.
    ///
    /// # Errors
    /// When the key is not valid XDR.
    pub fn expire_entry(&mut self, key_xdr: &str) -> Result<bool, EngineError> {
        let key: LedgerKey = decode_base64(key_xdr, "ledger key")?;
        let last_live = self.sequence().saturating_sub(1);
        Ok(self.state.set_live_until(&key, last_live))
    }

    /// Sets how many ledgers a new temporary entry lives.
    ///
    /// # Errors
    /// When that is 0 or more than the longest life.
    pub fn set_min_temporary_ttl(&mut self, ledgers: u32) -> Result<(), EngineError> {
        let longest = self.config.network.max_entry_ttl;
        if ledgers == 0 || ledgers > longest {
            return Err(EngineError::InvalidFault(format!(
                "temporary entries live 1 to {longest} ledgers, not {ledgers}"
            )));
        }
        let key = setting_key(ConfigSettingId::StateArchival);
        let protocol = self.last.header.header.ledger_version;
        let mut draft = Draft::new(self.state.store(), self.sequence());
        if let Some(LedgerEntryData::ConfigSetting(ConfigSettingEntry::StateArchival(archival))) =
            draft.entry_mut(&key).map(|entry| &mut entry.data)
        {
            archival.min_temporary_ttl = ledgers;
        }
        let writes = draft.into_writes();
        self.state.commit(protocol, writes)?;
        self.config = load_config(protocol, &self.state)?;
        Ok(())
    }

    /// Circumstances of the last closed ledger, as simulation sees them.
    pub(crate) fn last_context(&self) -> LedgerContext<'_> {
        LedgerContext { ledger: self.sequence(), ..self.next_context(self.close_time()) }
    }

    fn next_context(&self, close_time: u64) -> LedgerContext<'_> {
        let last = &self.last.header.header;
        LedgerContext {
            base_fee: self.base_fee.into(),
            ..context(&self.config, self.state.modules(), last, self.network_id, close_time)
        }
    }
}

/// Circumstances of the ledger after `last`.
fn context<'a>(
    config: &'a Config,
    modules: &'a ModuleCache,
    last: &LedgerHeader,
    network_id: [u8; 32],
    close_time: u64,
) -> LedgerContext<'a> {
    LedgerContext {
        ledger: last.ledger_seq + 1,
        close_time,
        protocol: last.ledger_version,
        network_id,
        base_fee: last.base_fee.into(),
        base_reserve: last.base_reserve.into(),
        config,
        modules,
    }
}

/// Reads the settings, having made sure that the contract engine knows the protocol: each release knows exactly one.
fn load_config(protocol: u32, state: &State) -> Result<Config, EngineError> {
    let known = INTERFACE_VERSION.protocol;
    if protocol != known {
        return Err(EngineError::InvalidSettings(format!(
            "this contract engine is of protocol {known}, not {protocol}"
        )));
    }
    Config::load(state.shared_store())
}

/// Drops what is no longer valid in the context's ledger, counting what each payer owes on the way.
fn drop_invalid(context: &LedgerContext<'_>, store: &Store, queue: &mut Queue) {
    let draft = Draft::new(store, context.ledger);
    let mut owed: BTreeMap<AccountId, i64> = BTreeMap::new();
    queue.retain(|transaction| {
        let owed = owed.entry(transaction.payer()).or_default();
        let valid = check(context, &draft, transaction, *owed).is_ok();
        *owed += if valid { transaction.fee() } else { 0 };
        valid
    });
}
