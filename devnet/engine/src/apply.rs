//! Applying one transaction, its fee having been charged.

use crate::context::LedgerContext;
use crate::draft::Draft;
use crate::envelope::{SubmittedTransaction, is_soroban};
use crate::operations::{self, Scope, Sponsorships};
use crate::reserves::stamp_sequence;
use crate::results::is_success;
use crate::soroban::{self, Call, Fees, Outcome};
use crate::store::{Store, Writes};
use crate::validity::check_inner;
use stellar_xdr::{
    ExtensionPoint, LedgerEntryChanges, Operation, OperationMetaV2, OperationResult, SignerKey, TransactionMetaV4,
    TransactionResultResult as Code, Uint256, VecM,
};

/// What applying a transaction came to.
pub struct Applied {
    /// The transaction's own result, without fee bump.
    pub code: Code,
    /// What changed, and what contracts said.
    pub meta: TransactionMetaV4,
    /// What goes back to the payer, in stroops.
    pub refund: i64,
    /// What is to be committed.
    pub writes: Writes,
}

/// Uses up the sequence number, then applies all operations or none.
pub fn apply(context: &LedgerContext<'_>, store: &Store, transaction: &SubmittedTransaction) -> Applied {
    let mut draft = Draft::new(store, context.ledger);
    let fault = check_inner(context, &draft, transaction, None).err();
    use_sequence(context, &mut draft, transaction);
    if fault.is_none() {
        use_up_signers(context, &mut draft, transaction);
    }
    let tx_changes_before = draft.take_changes();
    let mut outcome = Outcome::default();
    if let Some(data) = transaction.soroban_data() {
        outcome.fees = Fees::new(context, data, transaction.inner_size_bytes);
    }
    let before = draft.writes().clone();
    let (code, operations) = match fault {
        Some(fault) => (fault.into_code(), VecM::default()),
        None => apply_operations(context, &mut draft, transaction, &mut outcome),
    };
    let writes = if matches!(code, Code::TxSuccess(_)) { draft.into_writes() } else { before };
    let meta = TransactionMetaV4 {
        ext: ExtensionPoint::V0,
        tx_changes_before,
        operations,
        tx_changes_after: LedgerEntryChanges::default(),
        soroban_meta: transaction.soroban_data().map(|_| outcome.meta()),
        events: VecM::default(),
        diagnostic_events: outcome.diagnostics.try_into().unwrap_or_default(),
    };
    Applied { code, meta, refund: outcome.fees.refund, writes }
}

fn use_sequence(context: &LedgerContext<'_>, draft: &mut Draft<'_>, transaction: &SubmittedTransaction) {
    if let Some(account) = draft.account_mut(&transaction.source()) {
        let sequence = transaction.transaction().seq_num.clone();
        if account.seq_num < sequence {
            account.seq_num = sequence;
            stamp_sequence(account, context.ledger, context.close_time);
        }
    }
}

/// A signer that authorised this one transaction beforehand is of no further use.
fn use_up_signers(context: &LedgerContext<'_>, draft: &mut Draft<'_>, transaction: &SubmittedTransaction) {
    let key = SignerKey::PreAuthTx(Uint256(transaction.inner_hash()));
    let operations = &transaction.transaction().operations;
    let mut sources: Vec<_> = operations.iter().map(|operation| transaction.operation_source(operation)).collect();
    sources.push(transaction.source());
    for source in sources {
        let has_signer = |account: &stellar_xdr::AccountEntry| account.signers.iter().any(|signer| signer.key == key);
        if draft.account(&source).is_some_and(has_signer) {
            let mut sponsorships = Sponsorships::default();
            let mut scope = Scope { context, draft, sponsorships: &mut sponsorships, source: &source };
            operations::remove_signer(&mut scope, &key);
        }
    }
}

fn apply_operations(
    context: &LedgerContext<'_>,
    draft: &mut Draft<'_>,
    transaction: &SubmittedTransaction,
    outcome: &mut Outcome,
) -> (Code, VecM<OperationMetaV2>) {
    let mut sponsorships = Sponsorships::default();
    let mut results = Vec::new();
    let mut metas = Vec::new();
    for operation in &transaction.transaction().operations {
        let result = apply_operation(context, draft, transaction, operation, &mut sponsorships, outcome);
        if is_success(&result) {
            metas.push(OperationMetaV2 {
                ext: ExtensionPoint::V0,
                changes: draft.take_changes(),
                events: outcome.events.clone().try_into().unwrap_or_default(),
            });
        } else {
            draft.undo();
        }
        results.push(result);
    }
    let succeeded = metas.len() == results.len();
    if succeeded && !sponsorships.is_empty() {
        return (Code::TxBadSponsorship, VecM::default());
    }
    let results = results.try_into().unwrap_or_default();
    if succeeded {
        (Code::TxSuccess(results), metas.try_into().unwrap_or_default())
    } else {
        (Code::TxFailed(results), VecM::default())
    }
}

fn apply_operation(
    context: &LedgerContext<'_>,
    draft: &mut Draft<'_>,
    transaction: &SubmittedTransaction,
    operation: &Operation,
    sponsorships: &mut Sponsorships,
    outcome: &mut Outcome,
) -> OperationResult {
    let source = &transaction.operation_source(operation);
    if draft.account(source).is_none() {
        return OperationResult::OpNoAccount;
    }
    match transaction.soroban_data() {
        Some(data) if is_soroban(&operation.body) => {
            soroban::apply(&mut Call { context, draft, transaction, data, source }, &operation.body, outcome)
        }
        _ => operations::apply(&mut Scope { context, draft, sponsorships, source }, &operation.body),
    }
}
