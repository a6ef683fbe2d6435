//! What makes a contract transaction invalid before it is applied.

use super::resources::{Resources, archived_entries, resource_fees};
use crate::codec::encode;
use crate::context::LedgerContext;
use crate::envelope::SubmittedTransaction;
use crate::store::{has_life, is_temporary};
use std::collections::BTreeSet;
use stellar_xdr::{
    ExtendFootprintTtlOp, ExtendFootprintTtlResult, HostFunction, InvokeHostFunctionResult, LedgerFootprint, LedgerKey,
    Memo, MuxedAccount, OperationBody, OperationResult, OperationResultTr, RestoreFootprintResult,
    SorobanTransactionData,
};

/// Since this protocol an invocation must have neither memo nor multiplexed source account.
const NO_MEMO_SINCE: u32 = 25;

/// Checks declared resources, footprint and fee; the error is a sentence for the diagnostic event.
pub fn check_transaction(
    context: &LedgerContext<'_>,
    transaction: &SubmittedTransaction,
    data: &SorobanTransactionData,
) -> Result<(), String> {
    check_memo(context, transaction)?;
    let declared = Resources::declared(data, transaction.inner_size_bytes);
    if let Some(name) = declared.exceeds(&context.config.transaction_limit) {
        return Err(format!("transaction declares more {name} than the network allows"));
    }
    check_footprint(context, data)?;
    if transaction.fee_bump.is_none() && data.resource_fee > transaction.fee() {
        return Err("transaction `sorobanData.resourceFee` is higher than the full transaction fee".to_owned());
    }
    let (needed, _) = resource_fees(context.config, data, transaction.inner_size_bytes, 0);
    if data.resource_fee < needed {
        let declared = data.resource_fee;
        return Err(format!("transaction `sorobanData.resourceFee` {declared} is lower than the needed {needed}"));
    }
    Ok(())
}

fn check_memo(context: &LedgerContext<'_>, transaction: &SubmittedTransaction) -> Result<(), String> {
    let inner = transaction.transaction();
    let invokes =
        inner.operations.iter().any(|operation| matches!(operation.body, OperationBody::InvokeHostFunction(_)));
    if context.protocol < NO_MEMO_SINCE || !invokes {
        return Ok(());
    }
    let is_muxed = |account: &MuxedAccount| matches!(account, MuxedAccount::MuxedEd25519(_));
    let sources = inner.operations.iter().filter_map(|operation| operation.source_account.as_ref());
    if inner.memo != Memo::None {
        return Err("an invocation must not have a memo".to_owned());
    }
    if is_muxed(&inner.source_account) || sources.into_iter().any(is_muxed) {
        return Err("an invocation must not have a multiplexed source account".to_owned());
    }
    Ok(())
}

fn check_footprint(context: &LedgerContext<'_>, data: &SorobanTransactionData) -> Result<(), String> {
    let LedgerFootprint { read_only, read_write } = &data.resources.footprint;
    let keys = || read_only.iter().chain(read_write.iter());
    if keys().count() > context.config.footprint_entries as usize {
        return Err("footprint has more entries than the network allows".to_owned());
    }
    if !keys().all(|key| has_life(key) || matches!(key, LedgerKey::Account(_) | LedgerKey::Trustline(_))) {
        return Err("footprint has a key that contracts can not access".to_owned());
    }
    if keys().any(|key| encode(key).len() > context.config.data_key_bytes as usize) {
        return Err("footprint has a key longer than the network allows".to_owned());
    }
    if keys().collect::<BTreeSet<_>>().len() != keys().count() {
        return Err("footprint has a key twice".to_owned());
    }
    let restorable =
        |index: &u32| read_write.get(*index as usize).is_some_and(|key| has_life(key) && !is_temporary(key));
    let archived = archived_entries(data);
    if !archived.iter().all(restorable) || !archived.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err("archived entries must be ascending indices of persistent read-write entries".to_owned());
    }
    Ok(())
}

/// Refuses an operation that no state of the ledger can make valid.
pub fn check_operation(
    context: &LedgerContext<'_>,
    data: &SorobanTransactionData,
    body: &OperationBody,
) -> Result<(), OperationResult> {
    let footprint = &data.resources.footprint;
    let malformed = match body {
        OperationBody::InvokeHostFunction(invoke) => match &invoke.host_function {
            HostFunction::UploadContractWasm(wasm) if wasm.len() > context.config.code_bytes as usize => {
                OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Malformed)
            }
            _ => return Ok(()),
        },
        OperationBody::ExtendFootprintTtl(extend) => {
            if is_valid_extend(context, footprint, extend) {
                return Ok(());
            }
            OperationResultTr::ExtendFootprintTtl(ExtendFootprintTtlResult::Malformed)
        }
        OperationBody::RestoreFootprint(_) => {
            let persistent = |key: &LedgerKey| has_life(key) && !is_temporary(key);
            if footprint.read_only.is_empty() && footprint.read_write.iter().all(persistent) {
                return Ok(());
            }
            OperationResultTr::RestoreFootprint(RestoreFootprintResult::Malformed)
        }
        _ => return Err(OperationResult::OpNotSupported),
    };
    Err(OperationResult::OpInner(malformed))
}

fn is_valid_extend(context: &LedgerContext<'_>, footprint: &LedgerFootprint, extend: &ExtendFootprintTtlOp) -> bool {
    footprint.read_write.is_empty()
        && footprint.read_only.iter().all(has_life)
        && extend.extend_to < context.config.network.max_entry_ttl
}
