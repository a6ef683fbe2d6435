//! Closing a ledger: fees of all its transactions, then each in turn, then refunds, then the header.

use crate::apply::{Applied, apply};
use crate::codec::hash_xdr;
use crate::context::LedgerContext;
use crate::draft::Draft;
use crate::envelope::SubmittedTransaction;
use crate::error::EngineError;
use crate::queue::Selection;
use crate::results::{applied, plain_result};
use crate::state::State;
use stellar_xdr::{
    DependentTxCluster, GeneralizedTransactionSet, Hash, LedgerEntryChanges, ParallelTxExecutionStage,
    ParallelTxsComponent, TransactionEnvelope, TransactionMeta, TransactionMetaV4, TransactionPhase,
    TransactionResultMetaV1, TransactionResultPair, TransactionResultResult as Code, TransactionSetV1, TxSetComponent,
    TxSetComponentTxsMaybeDiscountedFee,
};

/// A transaction of a closed ledger.
#[derive(Debug, Clone)]
pub struct ClosedTransaction {
    /// The transaction as submitted.
    pub transaction: SubmittedTransaction,
    /// Position in the ledger, from 1.
    pub application_order: u32,
    /// Result, fee and changes as the ledger records them.
    pub record: TransactionResultMetaV1,
}

impl ClosedTransaction {
    /// Whether it was applied.
    pub fn is_successful(&self) -> bool {
        matches!(self.record.result.result.result, Code::TxSuccess(_) | Code::TxFeeBumpInnerSuccess(_))
    }

    /// Changes and events of the transaction.
    pub fn meta(&self) -> Option<&TransactionMetaV4> {
        match &self.record.tx_apply_processing {
            TransactionMeta::V4(meta) => Some(meta),
            _ => None,
        }
    }
}

/// The set of transactions as it is recorded, with its hash.
pub fn transaction_set(previous: &Hash, selection: &Selection) -> (GeneralizedTransactionSet, Hash) {
    let envelopes = |transactions: &[SubmittedTransaction]| -> Vec<TransactionEnvelope> {
        transactions.iter().map(SubmittedTransaction::envelope).collect()
    };
    let classic = TxSetComponentTxsMaybeDiscountedFee {
        base_fee: Some(selection.classic_fee),
        txs: envelopes(&selection.classic).try_into().unwrap_or_default(),
    };
    let components =
        if classic.txs.is_empty() { Vec::new() } else { vec![TxSetComponent::TxsetCompTxsMaybeDiscountedFee(classic)] };
    let cluster = DependentTxCluster(envelopes(&selection.soroban).try_into().unwrap_or_default());
    let stages = if cluster.0.is_empty() {
        Vec::new()
    } else {
        vec![ParallelTxExecutionStage(vec![cluster].try_into().unwrap_or_default())]
    };
    let phases = vec![
        TransactionPhase::V0(components.try_into().unwrap_or_default()),
        TransactionPhase::V1(ParallelTxsComponent {
            base_fee: Some(selection.soroban_fee),
            execution_stages: stages.try_into().unwrap_or_default(),
        }),
    ];
    let set = GeneralizedTransactionSet::V1(TransactionSetV1 {
        previous_ledger_hash: previous.clone(),
        phases: phases.try_into().unwrap_or_default(),
    });
    let hash = hash_xdr(&set);
    (set, hash)
}

/// Applies the selected transactions, classic ones first, and gives them with their results and the fees kept.
pub fn apply_all(
    context: &LedgerContext<'_>,
    state: &mut State,
    selection: Selection,
) -> Result<(Vec<ClosedTransaction>, i64), EngineError> {
    let Selection { classic, classic_fee, soroban, soroban_fee } = selection;
    let priced = classic.into_iter().map(|transaction| (transaction, classic_fee));
    let priced = priced.chain(soroban.into_iter().map(|transaction| (transaction, soroban_fee)));
    let mut charged = Vec::new();
    for (transaction, price) in priced {
        let fee = fee_to_charge(&transaction, price);
        let changes = change_balance(context, state, &transaction, -fee)?;
        charged.push((transaction, fee, changes));
    }
    let mut results = Vec::new();
    for (transaction, fee, fee_changes) in charged {
        let Applied { code, meta, refund, writes } = apply(context, state.store(), &transaction);
        state.commit(context.protocol, writes)?;
        results.push((transaction, code, meta, fee - refund, refund, fee_changes));
    }
    let mut closed = Vec::new();
    let mut kept = 0_i64;
    for (order, (transaction, code, meta, fee, refund, fee_processing)) in (1..).zip(results) {
        let inner_hash = transaction.fee_bump.as_ref().map(|bump| bump.inner_hash);
        let post_fee = if refund > 0 {
            change_balance(context, state, &transaction, refund)?
        } else {
            LedgerEntryChanges::default()
        };
        kept += fee;
        let record = TransactionResultMetaV1 {
            ext: stellar_xdr::ExtensionPoint::V0,
            result: TransactionResultPair {
                transaction_hash: Hash(transaction.hash),
                result: plain_result(applied(inner_hash, code), fee),
            },
            fee_processing,
            tx_apply_processing: TransactionMeta::V4(meta),
            post_tx_apply_fee_processing: post_fee,
        };
        closed.push(ClosedTransaction { transaction, application_order: order, record });
    }
    Ok((closed, kept))
}

/// The resource fee and the ledger's price for each operation, at most what was agreed to.
fn fee_to_charge(transaction: &SubmittedTransaction, price: i64) -> i64 {
    let inclusion = price.saturating_mul(transaction.fee_operations());
    transaction.resource_fee().saturating_add(inclusion).min(transaction.fee())
}

/// Charges (or, with a positive amount, refunds) the payer; nothing if its account has been merged meanwhile.
fn change_balance(
    context: &LedgerContext<'_>,
    state: &mut State,
    transaction: &SubmittedTransaction,
    stroops: i64,
) -> Result<LedgerEntryChanges, EngineError> {
    let mut draft = Draft::new(state.store(), context.ledger);
    if let Some(account) = draft.account_mut(&transaction.payer()) {
        account.balance += stroops;
    }
    let changes = draft.take_changes();
    let writes = draft.into_writes();
    state.commit(context.protocol, writes)?;
    Ok(changes)
}
