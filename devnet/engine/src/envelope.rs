//! A transaction as it was submitted: plain, or wrapped in a fee bump by another account.

use crate::codec::{decode_base64, encode};
use crate::error::EngineError;
use stellar_xdr::{
    AccountId, DecoratedSignature, FeeBumpTransaction, FeeBumpTransactionEnvelope, FeeBumpTransactionExt,
    FeeBumpTransactionInnerTx, MuxedAccount, Operation, OperationBody, Preconditions, PreconditionsV2,
    SorobanTransactionData, Transaction, TransactionEnvelope, TransactionExt, TransactionV0, TransactionV0Ext,
    TransactionV1Envelope, Uint256, VecM,
};

/// The outer part of a fee bump.
#[derive(Debug, Clone)]
pub struct FeeBump {
    source: MuxedAccount,
    fee: i64,
    /// The payer's signatures.
    pub signatures: VecM<DecoratedSignature, 20>,
    /// Hash of the inner transaction.
    pub inner_hash: [u8; 32],
}

/// A decoded transaction with its hash on this network.
#[derive(Debug, Clone)]
pub struct SubmittedTransaction {
    inner: TransactionV1Envelope,
    /// The fee bump around the transaction, if there is one.
    pub fee_bump: Option<FeeBump>,
    /// The hash under which the ledger knows it: that of the fee bump, if there is one.
    pub hash: [u8; 32],
    /// Size of the whole envelope in bytes.
    pub size_bytes: u32,
    /// Size of the inner envelope in bytes, by which contract fees are reckoned.
    pub inner_size_bytes: u32,
}

impl SubmittedTransaction {
    /// Decodes a base64 envelope; envelopes of the first version are read as the network does, as plain ones.
    ///
    /// # Errors
    /// When it is not the XDR of a transaction envelope.
    pub fn decode(envelope_xdr: &str, network_id: [u8; 32]) -> Result<Self, EngineError> {
        const WHAT: &str = "transaction envelope";
        let envelope: TransactionEnvelope = decode_base64(envelope_xdr, WHAT)?;
        let invalid = |source| EngineError::InvalidXdr { what: WHAT, source };
        let hash = envelope.hash(network_id).map_err(invalid)?;
        let size_bytes = size(&envelope);
        let (inner, bump) = match envelope {
            TransactionEnvelope::TxV0(v0) => {
                (TransactionV1Envelope { tx: upgrade(v0.tx), signatures: v0.signatures }, None)
            }
            TransactionEnvelope::Tx(v1) => (v1, None),
            TransactionEnvelope::TxFeeBump(bump) => {
                let FeeBumpTransactionInnerTx::Tx(inner) = bump.tx.inner_tx;
                (inner, Some((bump.tx.fee_source, bump.tx.fee, bump.signatures)))
            }
        };
        let inner_size_bytes = size(&TransactionEnvelope::Tx(inner.clone()));
        let inner_hash = inner.hash(network_id).map_err(invalid)?;
        let fee_bump = bump.map(|(source, fee, signatures)| FeeBump { source, fee, signatures, inner_hash });
        Ok(Self { inner, fee_bump, hash, size_bytes, inner_size_bytes })
    }

    /// The envelope as the ledger records it.
    pub fn envelope(&self) -> TransactionEnvelope {
        match &self.fee_bump {
            None => TransactionEnvelope::Tx(self.inner.clone()),
            Some(bump) => TransactionEnvelope::TxFeeBump(FeeBumpTransactionEnvelope {
                tx: FeeBumpTransaction {
                    fee_source: bump.source.clone(),
                    fee: bump.fee,
                    inner_tx: FeeBumpTransactionInnerTx::Tx(self.inner.clone()),
                    ext: FeeBumpTransactionExt::V0,
                },
                signatures: bump.signatures.clone(),
            }),
        }
    }

    /// The transaction itself, without fee bump.
    pub fn transaction(&self) -> &Transaction {
        &self.inner.tx
    }

    /// Signatures of the transaction itself.
    pub fn signatures(&self) -> &[DecoratedSignature] {
        &self.inner.signatures
    }

    /// Hash that the transaction's own signatures sign.
    pub fn inner_hash(&self) -> [u8; 32] {
        self.fee_bump.as_ref().map_or(self.hash, |bump| bump.inner_hash)
    }

    /// The account whose sequence number the transaction uses.
    pub fn source(&self) -> AccountId {
        self.inner.tx.source_account.clone().account_id()
    }

    /// The account that pays the fee.
    pub fn payer(&self) -> AccountId {
        self.fee_bump.as_ref().map_or_else(|| self.source(), |bump| bump.source.clone().account_id())
    }

    /// The account an operation acts for.
    pub fn operation_source(&self, operation: &Operation) -> AccountId {
        operation.source_account.as_ref().unwrap_or(&self.inner.tx.source_account).clone().account_id()
    }

    /// Highest fee the payer agreed to, in stroops.
    pub fn fee(&self) -> i64 {
        self.fee_bump.as_ref().map_or_else(|| i64::from(self.inner.tx.fee), |bump| bump.fee)
    }

    /// Operations that count for the fee; a fee bump counts as one more.
    pub fn fee_operations(&self) -> i64 {
        inner_operations(&self.inner.tx) + i64::from(self.fee_bump.is_some())
    }

    /// Resource fee declared by a contract transaction, in stroops; 0 for others.
    pub fn resource_fee(&self) -> i64 {
        self.soroban_data().map_or(0, |data| data.resource_fee)
    }

    /// Highest fee for a place in the ledger, in stroops: the fee without the resource fee.
    pub fn inclusion_fee(&self) -> i64 {
        self.fee().saturating_sub(self.resource_fee())
    }

    /// The same of the transaction inside a fee bump, with its operations.
    pub fn inner_inclusion_fee(&self) -> (i64, i64) {
        let fee = i64::from(self.inner.tx.fee).saturating_sub(self.resource_fee());
        (fee, inner_operations(&self.inner.tx))
    }

    /// The declared resources of a contract transaction.
    pub fn soroban_data(&self) -> Option<&SorobanTransactionData> {
        match &self.inner.tx.ext {
            TransactionExt::V0 => None,
            TransactionExt::V1(data) => Some(data),
        }
    }

    /// Whether any operation needs the contract engine.
    pub fn is_soroban(&self) -> bool {
        self.inner.tx.operations.iter().any(|operation| is_soroban(&operation.body))
    }

    /// All preconditions, in the form that has room for all.
    pub fn preconditions(&self) -> PreconditionsV2 {
        match &self.inner.tx.cond {
            Preconditions::None => PreconditionsV2::default(),
            Preconditions::Time(bounds) => {
                PreconditionsV2 { time_bounds: Some(bounds.clone()), ..PreconditionsV2::default() }
            }
            Preconditions::V2(conditions) => conditions.clone(),
        }
    }
}

/// Whether the operation needs the contract engine.
pub fn is_soroban(body: &OperationBody) -> bool {
    matches!(
        body,
        OperationBody::InvokeHostFunction(_)
            | OperationBody::ExtendFootprintTtl(_)
            | OperationBody::RestoreFootprint(_)
    )
}

fn inner_operations(transaction: &Transaction) -> i64 {
    i64::try_from(transaction.operations.len()).unwrap_or(i64::MAX).max(1)
}

fn size(envelope: &TransactionEnvelope) -> u32 {
    u32::try_from(encode(envelope).len()).unwrap_or(u32::MAX)
}

fn upgrade(v0: TransactionV0) -> Transaction {
    let TransactionV0Ext::V0 = v0.ext;
    let Uint256(key) = v0.source_account_ed25519;
    Transaction {
        source_account: MuxedAccount::Ed25519(Uint256(key)),
        fee: v0.fee,
        seq_num: v0.seq_num,
        cond: v0.time_bounds.map_or(Preconditions::None, Preconditions::Time),
        memo: v0.memo,
        operations: v0.operations,
        ext: TransactionExt::V0,
    }
}
