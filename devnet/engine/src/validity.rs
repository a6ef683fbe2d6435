//! Whether a transaction may enter a ledger: the checks at its submission, again at the ledger's close, and (all but
//! the fee) when its turn comes to be applied.

use crate::context::LedgerContext;
use crate::diagnostics::error_event;
use crate::draft::Draft;
use crate::envelope::{FeeBump, SubmittedTransaction, is_soroban};
use crate::operations;
use crate::reserves::{available_balance, sequence_stamp};
use crate::results::{failed_inner, plain_result, unapplied};
use crate::signatures::{SignatureChecker, Threshold};
use crate::soroban;
use stellar_xdr::{
    AccountEntry, DiagnosticEvent, Operation, OperationResult, PreconditionsV2, ScErrorCode, ScErrorType,
    TransactionResult, TransactionResultResult as Code, VecM,
};

/// Why a transaction is refused.
#[derive(Debug)]
pub struct Rejection {
    /// The result as the ledger would record it; its fee is the least that would do, where the fee was too low.
    pub result: TransactionResult,
    /// The reason in words, for contract transactions.
    pub diagnostics: Vec<DiagnosticEvent>,
}

/// An inner failure with what goes with it.
#[derive(Debug)]
pub struct Fault {
    code: Code,
    needed_fee: i64,
    diagnostics: Vec<DiagnosticEvent>,
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self { code, needed_fee: 0, diagnostics: Vec::new() }
    }
}

impl Fault {
    /// The result code, that of the inner transaction.
    pub fn into_code(self) -> Code {
        self.code
    }

    fn fee(needed_fee: i64) -> Self {
        Self { needed_fee, ..Self::from(Code::TxInsufficientFee) }
    }

    fn reject(self, wrap: impl FnOnce(Code) -> Code) -> Rejection {
        Rejection { result: plain_result(wrap(self.code), self.needed_fee), diagnostics: self.diagnostics }
    }

    fn soroban(message: &str) -> Self {
        let event = error_event(ScErrorType::Storage, ScErrorCode::InvalidInput, message);
        Self { diagnostics: vec![event], ..Self::from(Code::TxSorobanInvalid) }
    }
}

/// Checks a transaction for the context's ledger. `owed`: fees in stroops that its payer owes already for others.
pub fn check(
    context: &LedgerContext<'_>,
    draft: &Draft<'_>,
    transaction: &SubmittedTransaction,
    owed: i64,
) -> Result<(), Rejection> {
    let Some(bump) = &transaction.fee_bump else {
        return check_inner(context, draft, transaction, Some(owed)).map_err(|fault| fault.reject(|code| code));
    };
    check_fee_bump(context, draft, transaction, bump, owed).map_err(|fault| fault.reject(|code| code))?;
    check_inner(context, draft, transaction, None)
        .map_err(|fault| fault.reject(|code| failed_inner(bump.inner_hash, code)))
}

/// Checks the outer part of a fee bump.
fn check_fee_bump(
    context: &LedgerContext<'_>,
    draft: &Draft<'_>,
    transaction: &SubmittedTransaction,
    bump: &FeeBump,
    owed: i64,
) -> Result<(), Fault> {
    let operations = transaction.fee_operations();
    let (inner_fee, inner_operations) = transaction.inner_inclusion_fee();
    let same_rate = i128::from(inner_fee) * i128::from(operations);
    let needed_by_rate = (same_rate + i128::from(inner_operations) - 1).div_euclid(i128::from(inner_operations));
    let needed = i64::try_from(needed_by_rate).unwrap_or(i64::MAX).max(context.base_fee * operations);
    if transaction.inclusion_fee() < needed {
        return Err(Fault::fee(needed.saturating_add(transaction.resource_fee())));
    }
    let payer = draft.account(&transaction.payer()).ok_or(Code::TxNoAccount)?;
    let mut checker = SignatureChecker::new(transaction.hash, &bump.signatures);
    if !checker.account_signed(payer, Threshold::Low) {
        return Err(Code::TxBadAuth.into());
    }
    check_balance(context, payer, transaction.fee(), owed)?;
    if checker.all_used() { Ok(()) } else { Err(Code::TxBadAuthExtra.into()) }
}

/// Checks the transaction itself; its fee too if it pays for itself (`owed` is given).
pub fn check_inner(
    context: &LedgerContext<'_>,
    draft: &Draft<'_>,
    transaction: &SubmittedTransaction,
    owed: Option<i64>,
) -> Result<(), Fault> {
    let conditions = transaction.preconditions();
    check_structure(transaction)?;
    check_bounds(context, &conditions)?;
    if let Some(data) = transaction.soroban_data() {
        soroban::check_transaction(context, transaction, data).map_err(|message| Fault::soroban(&message))?;
    }
    if owed.is_some() {
        check_fee(context, transaction)?;
    }
    let source = draft.account(&transaction.source()).ok_or(Code::TxNoAccount)?;
    check_sequence(context, source, transaction.transaction().seq_num.0, &conditions)?;
    let mut checker = SignatureChecker::new(transaction.inner_hash(), transaction.signatures());
    if !checker.account_signed(source, Threshold::Low) {
        return Err(Code::TxBadAuth.into());
    }
    if !conditions.extra_signers.iter().all(|signer| checker.extra_signed(signer)) {
        return Err(Code::TxBadAuth.into());
    }
    if let Some(owed) = owed {
        check_balance(context, source, transaction.fee(), owed)?;
    }
    check_operations(context, draft, transaction, &mut checker)?;
    if checker.all_used() { Ok(()) } else { Err(Code::TxBadAuthExtra.into()) }
}

/// A contract operation is alone in its transaction and declares its resources; others declare none.
fn check_structure(transaction: &SubmittedTransaction) -> Result<(), Fault> {
    let operations = &transaction.transaction().operations;
    if operations.is_empty() {
        return Err(Code::TxMissingOperation.into());
    }
    let declares = transaction.soroban_data().is_some_and(|data| data.resource_fee >= 0);
    let well_formed =
        if transaction.is_soroban() { operations.len() == 1 && declares } else { transaction.soroban_data().is_none() };
    if well_formed { Ok(()) } else { Err(Code::TxMalformed.into()) }
}

/// Times are compared with the context's close time, ledgers with its number; a highest ledger is exclusive.
fn check_bounds(context: &LedgerContext<'_>, conditions: &PreconditionsV2) -> Result<(), Fault> {
    if let Some(bounds) = &conditions.time_bounds {
        if bounds.min_time.0 > context.close_time {
            return Err(Code::TxTooEarly.into());
        }
        if bounds.max_time.0 != 0 && bounds.max_time.0 < context.close_time {
            return Err(Code::TxTooLate.into());
        }
    }
    if let Some(bounds) = &conditions.ledger_bounds {
        if bounds.min_ledger > context.ledger {
            return Err(Code::TxTooEarly.into());
        }
        if bounds.max_ledger != 0 && bounds.max_ledger <= context.ledger {
            return Err(Code::TxTooLate.into());
        }
    }
    Ok(())
}

fn check_fee(context: &LedgerContext<'_>, transaction: &SubmittedTransaction) -> Result<(), Fault> {
    let needed = context.base_fee * transaction.fee_operations();
    if transaction.inclusion_fee() < needed {
        return Err(Fault::fee(needed.saturating_add(transaction.resource_fee())));
    }
    Ok(())
}

fn check_sequence(
    context: &LedgerContext<'_>,
    source: &AccountEntry,
    sequence: i64,
    conditions: &PreconditionsV2,
) -> Result<(), Fault> {
    let current = source.seq_num.0;
    let follows = match &conditions.min_seq_num {
        None => current.checked_add(1) == Some(sequence),
        Some(least) => least.0 <= current && current < sequence,
    };
    let first_of_ledger = i64::from(context.ledger) << 32;
    if !follows || sequence == first_of_ledger {
        return Err(Code::TxBadSeq.into());
    }
    let (used_ledger, used_time) = sequence_stamp(source);
    let old_enough = context.close_time.saturating_sub(used_time) >= conditions.min_seq_age.0;
    let far_enough = context.ledger.saturating_sub(used_ledger) >= conditions.min_seq_ledger_gap;
    if old_enough && far_enough { Ok(()) } else { Err(Code::TxBadMinSeqAgeOrGap.into()) }
}

fn check_balance(context: &LedgerContext<'_>, payer: &AccountEntry, fee: i64, owed: i64) -> Result<(), Fault> {
    if available_balance(payer, context.base_reserve).saturating_sub(owed) < fee {
        return Err(Code::TxInsufficientBalance.into());
    }
    Ok(())
}

/// Signatures of every operation's account, and what no state could make valid.
fn check_operations(
    context: &LedgerContext<'_>,
    draft: &Draft<'_>,
    transaction: &SubmittedTransaction,
    checker: &mut SignatureChecker<'_>,
) -> Result<(), Fault> {
    let operations = &transaction.transaction().operations;
    let verdicts: Vec<Result<(), OperationResult>> =
        operations.iter().map(|operation| check_operation(context, draft, transaction, operation, checker)).collect();
    if verdicts.iter().all(Result::is_ok) {
        return Ok(());
    }
    let results: Vec<OperationResult> = verdicts
        .into_iter()
        .zip(operations.iter())
        .map(|(result, operation)| result.err().unwrap_or_else(|| unapplied(operation)))
        .collect();
    Err(Code::TxFailed(VecM::try_from(results).unwrap_or_default()).into())
}

fn check_operation(
    context: &LedgerContext<'_>,
    draft: &Draft<'_>,
    transaction: &SubmittedTransaction,
    operation: &Operation,
    checker: &mut SignatureChecker<'_>,
) -> Result<(), OperationResult> {
    let source = transaction.operation_source(operation);
    let signed = match draft.account(&source) {
        Some(account) => checker.account_signed(account, operations::threshold(&operation.body)),
        None if operation.source_account.is_none() => return Err(OperationResult::OpNoAccount),
        None => checker.key_signed(&source),
    };
    if !signed {
        return Err(OperationResult::OpBadAuth);
    }
    match transaction.soroban_data() {
        Some(data) if is_soroban(&operation.body) => soroban::check_operation(context, data, &operation.body),
        _ => operations::check(&source, &operation.body),
    }
}
