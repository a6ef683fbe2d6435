//! A ledger to play with: keys, transactions, contract calls.

use ed25519_dalek::{Signer as _, SigningKey};
use kale_devnet_engine::{ClosedTransaction, LedgerEngine, Slot, Status, Submission, encode_base64};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stellar_xdr::{
    AccountEntry, AccountId, AlphaNum4, Asset, AssetCode4, ContractExecutable, ContractId, ContractIdPreimage,
    CreateContractArgs, DecoratedSignature, FeeBumpTransaction, FeeBumpTransactionEnvelope, FeeBumpTransactionExt,
    FeeBumpTransactionInnerTx, HashIdPreimage, HashIdPreimageContractId, HostFunction, Int128Parts, InvokeContractArgs,
    InvokeHostFunctionOp, LedgerBounds, LedgerEntryData, LedgerKey, LedgerKeyAccount, LedgerKeyTrustLine, Limits, Memo,
    MuxedAccount, Operation, OperationBody, OperationResult, Preconditions, PreconditionsV2, PublicKey, ReadXdr,
    ScAddress, ScSymbol, ScVal, SequenceNumber, Signature, SignatureHint, SorobanAuthorizationEntry,
    SorobanTransactionData, TimeBounds, TimePoint, Transaction, TransactionEnvelope, TransactionExt,
    TransactionResultResult, TransactionV1Envelope, TrustLineAsset, TrustLineEntry, Uint256, WriteXdr,
};

pub const PASSPHRASE: &str = "KALE Pool test ledger";
pub const GENESIS_TIME: u64 = 1_700_000_000;
pub const XLM: i64 = 10_000_000;
pub const RESERVE: i64 = 5_000_000;
pub const PROTOCOL: u32 = 28;
pub const SETTINGS: &str = include_str!("../../../settings.json");

/// An account's key, made from a number.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    pub fn new(number: u8) -> Self {
        Self(SigningKey::from_bytes(&[number; 32]))
    }

    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    pub fn public(&self) -> Uint256 {
        Uint256(self.0.verifying_key().to_bytes())
    }

    pub fn id(&self) -> AccountId {
        AccountId(PublicKey::PublicKeyTypeEd25519(self.public()))
    }

    pub fn muxed(&self) -> MuxedAccount {
        MuxedAccount::Ed25519(self.public())
    }

    pub fn address(&self) -> ScVal {
        ScVal::Address(ScAddress::Account(self.id()))
    }

    pub fn sign(&self, hash: &[u8; 32]) -> DecoratedSignature {
        let public = self.0.verifying_key().to_bytes();
        let hint = SignatureHint(public[28..].try_into().unwrap());
        DecoratedSignature { hint, signature: Signature(self.0.sign(hash).to_vec().try_into().unwrap()) }
    }
}

/// A ledger with a funded root account.
pub struct World {
    pub engine: LedgerEngine,
    pub root: Key,
}

impl World {
    pub fn new() -> Self {
        let engine = LedgerEngine::new(SETTINGS, PASSPHRASE, PROTOCOL, GENESIS_TIME).unwrap();
        let root = Key::from_seed(engine.root_seed());
        Self { engine, root }
    }

    /// A new ledger with accounts of 1,000 XLM each.
    pub fn with(keys: &[&Key]) -> Self {
        let mut world = Self::new();
        let creations: Vec<Operation> = keys.iter().map(|key| create(key, 1000 * XLM)).collect();
        let root = world.root.clone();
        let envelope = world.transaction(&root, creations).sign(&[&root]);
        assert_success(&world.apply(&envelope));
        world
    }

    pub fn transaction(&self, source: &Key, operations: Vec<Operation>) -> Builder {
        let sequence = self.account(source).map_or(1, |account| account.seq_num.0 + 1);
        let fee = 100 * u32::try_from(operations.len()).unwrap();
        Builder(Transaction {
            source_account: source.muxed(),
            fee,
            seq_num: SequenceNumber(sequence),
            cond: Preconditions::None,
            memo: Memo::None,
            operations: operations.try_into().unwrap(),
            ext: TransactionExt::V0,
        })
    }

    pub fn submit(&mut self, envelope: &str) -> Submission {
        self.engine.submit(envelope).unwrap()
    }

    /// Submits what must be refused, and gives the reason.
    pub fn refused(&mut self, envelope: &str) -> TransactionResultResult {
        let submission = self.submit(envelope);
        assert_eq!(submission.status, Status::Error);
        submission.error.unwrap().result
    }

    pub fn close(&mut self) -> Vec<ClosedTransaction> {
        let time = self.engine.close_time() + 5;
        self.engine.close(time).unwrap()
    }

    pub fn close_many(&mut self, ledgers: u32) {
        for _ in 0..ledgers {
            self.close();
        }
    }

    /// Submits one transaction and closes the ledger with it.
    pub fn apply(&mut self, envelope: &str) -> ClosedTransaction {
        let submission = self.submit(envelope);
        assert_eq!(submission.status, Status::Pending, "{:?}", submission.error);
        let mut closed = self.close();
        assert_eq!(closed.len(), 1);
        closed.remove(0)
    }

    /// Signs with the source alone, applies and expects success.
    pub fn succeed(&mut self, source: &Key, operation: Operation) -> ClosedTransaction {
        let envelope = self.transaction(source, vec![operation]).sign(&[source]);
        let closed = self.apply(&envelope);
        assert_success(&closed);
        closed
    }

    /// Signs with the source alone, applies and expects the one operation to fail.
    pub fn fail(&mut self, source: &Key, operation: Operation) -> OperationResult {
        let envelope = self.transaction(source, vec![operation]).sign(&[source]);
        failed_operations(&self.apply(&envelope)).remove(0)
    }

    pub fn slot(&self, key: &LedgerKey) -> Option<Slot> {
        self.engine.entry(&encode_base64(key)).unwrap()
    }

    pub fn account(&self, key: &Key) -> Option<AccountEntry> {
        let key = LedgerKey::Account(LedgerKeyAccount { account_id: key.id() });
        self.slot(&key).map(|slot| match slot.entry.data.clone() {
            LedgerEntryData::Account(account) => account,
            other => panic!("{other:?}"),
        })
    }

    pub fn balance(&self, key: &Key) -> i64 {
        self.account(key).unwrap().balance
    }

    pub fn trustline(&self, key: &Key, issuer: &Key) -> Option<TrustLineEntry> {
        self.slot(&trustline_key(key, issuer)).map(|slot| match slot.entry.data.clone() {
            LedgerEntryData::Trustline(line) => line,
            other => panic!("{other:?}"),
        })
    }

    pub fn simulate(&self, envelope: &str) -> Value {
        serde_json::from_str(&self.engine.simulate(envelope, None).unwrap()).unwrap()
    }

    /// A contract transaction with the resources and authorisations that its simulation found.
    pub fn prepared(&self, source: &Key, operation: Operation) -> Builder {
        let mut builder = self.transaction(source, vec![operation]);
        let answer = self.simulate(&builder.clone().sign(&[]));
        assert!(answer["error"].is_null(), "{answer}");
        let fee: u32 = answer["minResourceFee"].as_str().unwrap().parse().unwrap();
        builder.0.fee += fee;
        builder.0.ext = TransactionExt::V1(decode(answer["transactionData"].as_str().unwrap()));
        let mut operation = builder.0.operations[0].clone();
        if let OperationBody::InvokeHostFunction(invoke) = &mut operation.body {
            let recorded = answer["results"][0]["auth"].as_array().unwrap();
            let auth: Vec<SorobanAuthorizationEntry> =
                recorded.iter().map(|entry| decode(entry.as_str().unwrap())).collect();
            invoke.auth = auth.try_into().unwrap();
        }
        builder.0.operations = vec![operation].try_into().unwrap();
        builder
    }

    /// Simulates, signs with the source, applies and expects success.
    pub fn invoke(&mut self, source: &Key, operation: Operation) -> ClosedTransaction {
        let envelope = self.prepared(source, operation).sign(&[source]);
        let closed = self.apply(&envelope);
        assert_success(&closed);
        closed
    }

    /// Deploys the asset's built-in contract, and gives its address.
    pub fn deploy_asset(&mut self, issuer: &Key) -> ContractId {
        let preimage = ContractIdPreimage::Asset(asset(issuer));
        let deploy = host_function(HostFunction::CreateContract(CreateContractArgs {
            contract_id_preimage: preimage.clone(),
            executable: ContractExecutable::StellarAsset,
        }));
        self.invoke(issuer, deploy);
        let preimage = HashIdPreimage::ContractId(HashIdPreimageContractId {
            network_id: stellar_xdr::Hash(self.engine.root_seed()),
            contract_id_preimage: preimage,
        });
        let hash = Sha256::digest(preimage.to_xdr(Limits::none()).unwrap());
        ContractId(stellar_xdr::Hash(hash.into()))
    }
}

/// A transaction in the making.
#[derive(Clone)]
pub struct Builder(pub Transaction);

impl Builder {
    pub fn fee(mut self, fee: u32) -> Self {
        self.0.fee = fee;
        self
    }

    pub fn sequence(mut self, sequence: i64) -> Self {
        self.0.seq_num = SequenceNumber(sequence);
        self
    }

    pub fn times(mut self, min_time: u64, max_time: u64) -> Self {
        let bounds = TimeBounds { min_time: TimePoint(min_time), max_time: TimePoint(max_time) };
        self.0.cond = Preconditions::Time(bounds);
        self
    }

    pub fn ledgers(self, min_ledger: u32, max_ledger: u32) -> Self {
        let ledger_bounds = Some(LedgerBounds { min_ledger, max_ledger });
        self.conditions(PreconditionsV2 { ledger_bounds, ..PreconditionsV2::default() })
    }

    pub fn conditions(mut self, conditions: PreconditionsV2) -> Self {
        self.0.cond = Preconditions::V2(conditions);
        self
    }

    pub fn data(&self) -> &SorobanTransactionData {
        match &self.0.ext {
            TransactionExt::V1(data) => data,
            TransactionExt::V0 => panic!("not a contract transaction"),
        }
    }

    pub fn data_mut(&mut self) -> &mut SorobanTransactionData {
        match &mut self.0.ext {
            TransactionExt::V1(data) => data,
            TransactionExt::V0 => panic!("not a contract transaction"),
        }
    }

    pub fn hash(&self) -> [u8; 32] {
        self.0.hash(network_id()).unwrap()
    }

    pub fn sign(self, keys: &[&Key]) -> String {
        encode_base64(&TransactionEnvelope::Tx(self.signed(keys)))
    }

    pub fn signed(self, keys: &[&Key]) -> TransactionV1Envelope {
        let hash = self.hash();
        let signatures: Vec<DecoratedSignature> = keys.iter().map(|key| key.sign(&hash)).collect();
        TransactionV1Envelope { tx: self.0, signatures: signatures.try_into().unwrap() }
    }

    /// Wraps the signed transaction in a fee bump that `payer` pays.
    pub fn bump(self, keys: &[&Key], payer: &Key, fee: i64) -> String {
        let tx = FeeBumpTransaction {
            fee_source: payer.muxed(),
            fee,
            inner_tx: FeeBumpTransactionInnerTx::Tx(self.signed(keys)),
            ext: FeeBumpTransactionExt::V0,
        };
        let hash = tx.hash(network_id()).unwrap();
        let signatures = vec![payer.sign(&hash)].try_into().unwrap();
        encode_base64(&TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope { tx, signatures }))
    }
}

pub fn network_id() -> [u8; 32] {
    Sha256::digest(PASSPHRASE.as_bytes()).into()
}

pub fn decode<T: ReadXdr>(text: &str) -> T {
    T::from_xdr_base64(text, Limits::none()).unwrap()
}

pub fn operation(body: OperationBody) -> Operation {
    Operation { source_account: None, body }
}

pub fn by(source: &Key, body: OperationBody) -> Operation {
    Operation { source_account: Some(source.muxed()), body }
}

pub fn create(key: &Key, balance: i64) -> Operation {
    let create = stellar_xdr::CreateAccountOp { destination: key.id(), starting_balance: balance };
    operation(OperationBody::CreateAccount(create))
}

pub fn pay(to: &Key, amount: i64) -> Operation {
    pay_asset(to, Asset::Native, amount)
}

pub fn pay_asset(to: &Key, asset: Asset, amount: i64) -> Operation {
    operation(OperationBody::Payment(stellar_xdr::PaymentOp { destination: to.muxed(), asset, amount }))
}

pub fn trust(issuer: &Key, limit: i64) -> OperationBody {
    let line = stellar_xdr::ChangeTrustAsset::CreditAlphanum4(credit(issuer));
    OperationBody::ChangeTrust(stellar_xdr::ChangeTrustOp { line, limit })
}

pub fn credit(issuer: &Key) -> AlphaNum4 {
    AlphaNum4 { asset_code: AssetCode4(*b"KALE"), issuer: issuer.id() }
}

pub fn asset(issuer: &Key) -> Asset {
    Asset::CreditAlphanum4(credit(issuer))
}

pub fn trustline_key(key: &Key, issuer: &Key) -> LedgerKey {
    let asset = TrustLineAsset::CreditAlphanum4(credit(issuer));
    LedgerKey::Trustline(LedgerKeyTrustLine { account_id: key.id(), asset })
}

pub fn host_function(host_function: HostFunction) -> Operation {
    let invoke = InvokeHostFunctionOp { host_function, auth: stellar_xdr::VecM::default() };
    operation(OperationBody::InvokeHostFunction(invoke))
}

pub fn call(contract: &ContractId, function: &str, args: Vec<ScVal>) -> Operation {
    host_function(HostFunction::InvokeContract(InvokeContractArgs {
        contract_address: ScAddress::Contract(contract.clone()),
        function_name: symbol(function),
        args: args.try_into().unwrap(),
    }))
}

pub fn symbol(name: &str) -> ScSymbol {
    ScSymbol(name.try_into().unwrap())
}

pub fn int128(value: u64) -> ScVal {
    ScVal::I128(Int128Parts { hi: 0, lo: value })
}

pub fn code(closed: &ClosedTransaction) -> TransactionResultResult {
    closed.record.result.result.result.clone()
}

pub fn assert_success(closed: &ClosedTransaction) {
    assert!(closed.is_successful(), "{:?}", code(closed));
}

pub fn failed_operations(closed: &ClosedTransaction) -> Vec<OperationResult> {
    match code(closed) {
        TransactionResultResult::TxFailed(results) => results.to_vec(),
        other => panic!("{other:?}"),
    }
}

pub fn fee_charged(closed: &ClosedTransaction) -> i64 {
    closed.record.result.result.fee_charged
}
