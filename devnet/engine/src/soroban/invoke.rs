//! Invoking a host function: uploading code, creating contracts, calling them.

use super::footprint::{FootprintEntry, FootprintFault, load};
use super::resources::{archived_entries, resource_fees};
use super::{Call, Outcome};
use crate::codec::{decode, encode, sha256};
use crate::diagnostics::error_event;
use soroban_env_host::HostError;
use soroban_env_host::budget::Budget;
use soroban_env_host::e2e_invoke::{
    InvokeHostFunctionResult as HostOutput, LedgerEntryChange, extract_rent_changes, invoke_host_function,
};
use soroban_env_host::fees::compute_rent_fee;
use stellar_xdr::{
    ContractEvent, Hash, InvokeHostFunctionOp, InvokeHostFunctionResult, InvokeHostFunctionSuccessPreImage,
    LedgerEntry, LedgerEntryData, LedgerKey, OperationResult, OperationResultTr, ScErrorCode, ScErrorType, ScVal,
};

type Invoked<T> = Result<T, InvokeHostFunctionResult>;

pub fn invoke(call: &mut Call<'_, '_>, operation: &InvokeHostFunctionOp, outcome: &mut Outcome) -> OperationResult {
    let result = match run(call, operation, outcome) {
        Ok(hash) => InvokeHostFunctionResult::Success(hash),
        Err(failure) => failure,
    };
    OperationResult::OpInner(OperationResultTr::InvokeHostFunction(result))
}

fn run(call: &mut Call<'_, '_>, operation: &InvokeHostFunctionOp, outcome: &mut Outcome) -> Invoked<Hash> {
    let entries = load(call).map_err(|fault| footprint_failure(&fault, outcome))?;
    let (value, output) = invoke_host(call, operation, entries, outcome)?;
    let events_bytes = value.len() + output.encoded_contract_events.iter().map(Vec::len).sum::<usize>();
    check_output(call, &output, events_bytes, outcome)?;
    charge(call, &output, events_bytes, outcome)?;
    write_changes(call, output.ledger_changes)?;
    let return_value: ScVal = decode_own(&value)?;
    let events = output
        .encoded_contract_events
        .iter()
        .map(|event| decode_own(event))
        .collect::<Invoked<Vec<ContractEvent>>>()?;
    let success = InvokeHostFunctionSuccessPreImage {
        return_value: return_value.clone(),
        events: events.clone().try_into().map_err(|_| InvokeHostFunctionResult::Trapped)?,
    };
    outcome.return_value = Some(return_value);
    outcome.events = events;
    Ok(Hash(sha256(&encode(&success))))
}

fn footprint_failure(fault: &FootprintFault, outcome: &mut Outcome) -> InvokeHostFunctionResult {
    let (result, code, message) = match fault {
        FootprintFault::Archived => (
            InvokeHostFunctionResult::EntryArchived,
            ScErrorCode::InvalidInput,
            "trying to access an archived contract data or code entry".to_owned(),
        ),
        FootprintFault::ReadBytes => (
            InvokeHostFunctionResult::ResourceLimitExceeded,
            ScErrorCode::ExceededLimit,
            "operation byte-read resources exceeds amount specified".to_owned(),
        ),
        FootprintFault::Host(error) => {
            (InvokeHostFunctionResult::Trapped, ScErrorCode::InternalError, error.to_string())
        }
    };
    outcome.diagnostics.push(error_event(ScErrorType::Storage, code, &message));
    result
}

/// Runs the contract engine; gives the encoded return value and everything it wants changed.
fn invoke_host(
    call: &Call<'_, '_>,
    operation: &InvokeHostFunctionOp,
    entries: Vec<FootprintEntry>,
    outcome: &mut Outcome,
) -> Invoked<(Vec<u8>, HostOutput)> {
    let network = &call.context.config.network;
    let instructions = u64::from(call.data.resources.instructions);
    let budget = Budget::try_from_configs(
        instructions,
        u64::from(network.tx_memory_limit),
        network.cpu_cost_params.clone(),
        network.memory_cost_params.clone(),
    )
    .map_err(|_| InvokeHostFunctionResult::Trapped)?;
    let seed = sha256(&[call.transaction.hash.as_slice(), &call.context.ledger.to_be_bytes()].concat());
    let authorizations: Vec<Vec<u8>> = operation.auth.iter().map(encode).collect();
    let output = invoke_host_function(
        &budget,
        true,
        encode(&operation.host_function),
        encode(&call.data.resources),
        archived_entries(call.data),
        encode(call.source),
        authorizations.into_iter(),
        call.context.ledger_info(),
        entries.into_iter(),
        seed.to_vec(),
        &mut outcome.diagnostics,
        None,
        Some(call.context.modules.clone()),
    );
    let failed = |_: HostError| {
        let instructions_spent = budget.get_cpu_insns_consumed().unwrap_or(0);
        let memory_spent = budget.get_mem_bytes_consumed().unwrap_or(0);
        if instructions_spent > instructions || memory_spent > u64::from(network.tx_memory_limit) {
            InvokeHostFunctionResult::ResourceLimitExceeded
        } else {
            InvokeHostFunctionResult::Trapped
        }
    };
    let mut output = output.map_err(failed)?;
    let value = std::mem::replace(&mut output.encoded_invoke_result, Ok(Vec::new())).map_err(failed)?;
    Ok((value, output))
}

/// Enforces what was declared and what the network allows of bytes written and emitted.
fn check_output(call: &Call<'_, '_>, output: &HostOutput, events_bytes: usize, outcome: &mut Outcome) -> Invoked<()> {
    let config = call.context.config;
    let mut exceeded = |message: &str| {
        outcome.diagnostics.push(error_event(ScErrorType::Storage, ScErrorCode::ExceededLimit, message));
        Err(InvokeHostFunctionResult::ResourceLimitExceeded)
    };
    let written = output.ledger_changes.iter().filter_map(|change| change.encoded_new_value.as_ref());
    if written.clone().map(Vec::len).sum::<usize>() > call.data.resources.write_bytes as usize {
        return exceeded("operation byte-write resources exceeds amount specified");
    }
    for encoded in written {
        let entry: LedgerEntry = decode_own(encoded)?;
        let limit = match entry.data {
            LedgerEntryData::ContractData(_) => config.data_entry_bytes,
            LedgerEntryData::ContractCode(_) => config.code_bytes,
            _ => u32::MAX,
        };
        if encoded.len() > limit as usize {
            return exceeded("a written entry is larger than the network allows");
        }
    }
    if events_bytes > config.events_bytes as usize {
        return exceeded("total events size exceeds network config maximum");
    }
    Ok(())
}

fn charge(call: &Call<'_, '_>, output: &HostOutput, events_bytes: usize, outcome: &mut Outcome) -> Invoked<()> {
    let config = call.context.config;
    let rent_changes = extract_rent_changes(&output.ledger_changes);
    let rent = compute_rent_fee(&rent_changes, &config.network.rent_fee_configuration, call.context.ledger);
    let events_bytes = u32::try_from(events_bytes).unwrap_or(u32::MAX);
    let (_, events) = resource_fees(config, call.data, call.transaction.inner_size_bytes, events_bytes);
    if outcome.fees.charge(rent, events) {
        return Ok(());
    }
    let message = "refundable resource fee was not sufficient to cover the rent and events fees";
    outcome.diagnostics.push(error_event(ScErrorType::Budget, ScErrorCode::ExceededLimit, message));
    Err(InvokeHostFunctionResult::InsufficientRefundableFee)
}

fn write_changes(call: &mut Call<'_, '_>, changes: Vec<LedgerEntryChange>) -> Invoked<()> {
    for change in changes {
        let key: LedgerKey = decode_own(&change.encoded_key)?;
        let live_until = change.ttl_change.as_ref().map(|life| life.new_live_until_ledger);
        if let Some(encoded) = &change.encoded_new_value {
            call.draft.put(decode_own(encoded)?, live_until);
        } else if !change.read_only {
            if call.draft.slot(&key).is_some() {
                call.draft.remove(&key);
            }
        } else if let Some(life) =
            change.ttl_change.filter(|life| life.new_live_until_ledger > life.old_live_until_ledger)
        {
            call.draft.extend(&key, life.new_live_until_ledger);
        }
    }
    Ok(())
}

/// Decodes what the contract engine itself encoded.
fn decode_own<T: stellar_xdr::ReadXdr>(bytes: &[u8]) -> Invoked<T> {
    decode(bytes, "output of the contract engine").map_err(|_| InvokeHostFunctionResult::Trapped)
}
