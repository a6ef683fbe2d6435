//! Transaction results in the ledger's forms.

use stellar_xdr::{
    AccountMergeResult, BeginSponsoringFutureReservesResult, ChangeTrustResult, CreateAccountResult,
    EndSponsoringFutureReservesResult, ExtendFootprintTtlResult, Hash, InnerTransactionResult,
    InnerTransactionResultExt, InnerTransactionResultPair, InnerTransactionResultResult as Inner,
    InvokeHostFunctionResult, ManageDataResult, Operation, OperationBody as Body, OperationResult,
    OperationResultTr as Tr, PaymentResult, RestoreFootprintResult, RevokeSponsorshipResult, SetOptionsResult,
    SetTrustLineFlagsResult, TransactionResult, TransactionResultExt, TransactionResultResult as Code,
};

/// A result with its fee in stroops.
pub fn plain_result(result: Code, fee_charged: i64) -> TransactionResult {
    TransactionResult { fee_charged, result, ext: TransactionResultExt::V0 }
}

/// A failed inner transaction as a fee bump's result.
pub fn failed_inner(inner_hash: [u8; 32], code: Code) -> Code {
    Code::TxFeeBumpInnerFailed(inner_pair(inner_hash, code))
}

/// An applied transaction's result, as the one of the fee bump around it if there is one.
pub fn applied(inner_hash: Option<[u8; 32]>, code: Code) -> Code {
    match (inner_hash, code) {
        (None, code) => code,
        (Some(hash), code @ Code::TxSuccess(_)) => Code::TxFeeBumpInnerSuccess(inner_pair(hash, code)),
        (Some(hash), code) => failed_inner(hash, code),
    }
}

/// The payer of the fee bump is charged, the inner transaction nothing.
fn inner_pair(inner_hash: [u8; 32], code: Code) -> InnerTransactionResultPair {
    InnerTransactionResultPair {
        transaction_hash: Hash(inner_hash),
        result: InnerTransactionResult { fee_charged: 0, result: inner_code(code), ext: InnerTransactionResultExt::V0 },
    }
}

macro_rules! inner_codes {
    ($code:expr, $($name:ident),+) => {
        match $code {
            Code::TxSuccess(results) => Inner::TxSuccess(results),
            Code::TxFailed(results) => Inner::TxFailed(results),
            Code::TxFeeBumpInnerSuccess(pair) | Code::TxFeeBumpInnerFailed(pair) => pair.result.result,
            $(Code::$name => Inner::$name,)+
        }
    };
}

fn inner_code(code: Code) -> Inner {
    inner_codes!(
        code,
        TxTooEarly,
        TxTooLate,
        TxMissingOperation,
        TxBadSeq,
        TxBadAuth,
        TxInsufficientBalance,
        TxNoAccount,
        TxInsufficientFee,
        TxBadAuthExtra,
        TxInternalError,
        TxNotSupported,
        TxBadSponsorship,
        TxBadMinSeqAgeOrGap,
        TxMalformed,
        TxSorobanInvalid,
        TxFrozenKeyAccessed
    )
}

/// Whether an operation of this ledger succeeded.
pub fn is_success(result: &OperationResult) -> bool {
    let OperationResult::OpInner(result) = result else { return false };
    match result {
        Tr::CreateAccount(result) => *result == CreateAccountResult::Success,
        Tr::AccountMerge(result) => matches!(result, AccountMergeResult::Success(_)),
        Tr::Payment(result) => *result == PaymentResult::Success,
        Tr::ChangeTrust(result) => *result == ChangeTrustResult::Success,
        Tr::SetTrustLineFlags(result) => *result == SetTrustLineFlagsResult::Success,
        Tr::SetOptions(result) => *result == SetOptionsResult::Success,
        Tr::ManageData(result) => *result == ManageDataResult::Success,
        Tr::BeginSponsoringFutureReserves(result) => *result == BeginSponsoringFutureReservesResult::Success,
        Tr::EndSponsoringFutureReserves(result) => *result == EndSponsoringFutureReservesResult::Success,
        Tr::RevokeSponsorship(result) => *result == RevokeSponsorshipResult::Success,
        Tr::InvokeHostFunction(result) => matches!(result, InvokeHostFunctionResult::Success(_)),
        Tr::ExtendFootprintTtl(result) => *result == ExtendFootprintTtlResult::Success,
        Tr::RestoreFootprint(result) => *result == RestoreFootprintResult::Success,
        _ => false,
    }
}

/// What is recorded for an operation that is well by itself, where others keep the transaction from being applied.
pub fn unapplied(operation: &Operation) -> OperationResult {
    OperationResult::OpInner(match &operation.body {
        Body::CreateAccount(_) => Tr::CreateAccount(CreateAccountResult::Success),
        Body::AccountMerge(_) => Tr::AccountMerge(AccountMergeResult::Success(0)),
        Body::Payment(_) => Tr::Payment(PaymentResult::Success),
        Body::ChangeTrust(_) => Tr::ChangeTrust(ChangeTrustResult::Success),
        Body::SetTrustLineFlags(_) => Tr::SetTrustLineFlags(SetTrustLineFlagsResult::Success),
        Body::SetOptions(_) => Tr::SetOptions(SetOptionsResult::Success),
        Body::ManageData(_) => Tr::ManageData(ManageDataResult::Success),
        Body::BeginSponsoringFutureReserves(_) => {
            Tr::BeginSponsoringFutureReserves(BeginSponsoringFutureReservesResult::Success)
        }
        Body::EndSponsoringFutureReserves => {
            Tr::EndSponsoringFutureReserves(EndSponsoringFutureReservesResult::Success)
        }
        Body::RevokeSponsorship(_) => Tr::RevokeSponsorship(RevokeSponsorshipResult::Success),
        Body::InvokeHostFunction(_) => Tr::InvokeHostFunction(InvokeHostFunctionResult::Success(Hash::default())),
        Body::ExtendFootprintTtl(_) => Tr::ExtendFootprintTtl(ExtendFootprintTtlResult::Success),
        Body::RestoreFootprint(_) => Tr::RestoreFootprint(RestoreFootprintResult::Success),
        _ => return OperationResult::OpNotSupported,
    })
}
