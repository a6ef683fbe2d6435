//! Lengthening the life of entries, and restoring archived ones.

use super::footprint::{entry_sizes, restored_until};
use super::{Call, Outcome};
use crate::store::{has_life, is_expired, is_temporary};
use soroban_env_host::fees::{LedgerEntryRentChange, compute_rent_fee};
use stellar_xdr::{
    ExtendFootprintTtlOp, ExtendFootprintTtlResult, LedgerKey, OperationResult, OperationResultTr,
    RestoreFootprintResult,
};

enum Failure {
    Resources,
    RefundableFee,
}

pub fn extend(call: &mut Call<'_, '_>, operation: &ExtendFootprintTtlOp, outcome: &mut Outcome) -> OperationResult {
    let result = match extend_entries(call, operation.extend_to, outcome) {
        Ok(()) => ExtendFootprintTtlResult::Success,
        Err(Failure::Resources) => ExtendFootprintTtlResult::ResourceLimitExceeded,
        Err(Failure::RefundableFee) => ExtendFootprintTtlResult::InsufficientRefundableFee,
    };
    OperationResult::OpInner(OperationResultTr::ExtendFootprintTtl(result))
}

/// Entries that are missing, archived or live long enough are left as they are.
fn extend_entries(call: &mut Call<'_, '_>, extend_to: u32, outcome: &mut Outcome) -> Result<(), Failure> {
    let ledger = call.context.ledger;
    let new_live_until = ledger.saturating_add(extend_to);
    let mut changes = Vec::new();
    for key in call.data.resources.footprint.read_only.iter().filter(|key| has_life(key)) {
        let Some(slot) = call.draft.slot(key).filter(|slot| !is_expired(slot, ledger)) else { continue };
        let old_live_until = slot.live_until.unwrap_or(u32::MAX);
        if old_live_until >= new_live_until {
            continue;
        }
        let (_, size) = entry_sizes(call.context, &slot.entry).map_err(|_| Failure::Resources)?;
        changes.push(rent_change(key, size, (size, old_live_until), new_live_until));
        call.draft.extend(key, new_live_until);
    }
    charge(call, &changes, outcome)
}

pub fn restore(call: &mut Call<'_, '_>, outcome: &mut Outcome) -> OperationResult {
    let result = match restore_entries(call, outcome) {
        Ok(()) => RestoreFootprintResult::Success,
        Err(Failure::Resources) => RestoreFootprintResult::ResourceLimitExceeded,
        Err(Failure::RefundableFee) => RestoreFootprintResult::InsufficientRefundableFee,
    };
    OperationResult::OpInner(OperationResultTr::RestoreFootprint(result))
}

/// Entries that are missing or live are left as they are.
fn restore_entries(call: &mut Call<'_, '_>, outcome: &mut Outcome) -> Result<(), Failure> {
    let resources = &call.data.resources;
    let ledger = call.context.ledger;
    let new_live_until = restored_until(call.context);
    let mut changes = Vec::new();
    let mut bytes = 0_usize;
    for key in &resources.footprint.read_write {
        let Some(slot) = call.draft.slot(key).filter(|slot| is_expired(slot, ledger)).cloned() else { continue };
        let (encoded, size) = entry_sizes(call.context, &slot.entry).map_err(|_| Failure::Resources)?;
        bytes += encoded.len();
        if bytes > resources.disk_read_bytes as usize || bytes > resources.write_bytes as usize {
            return Err(Failure::Resources);
        }
        changes.push(rent_change(key, size, (0, 0), new_live_until));
        call.draft.mark_restored(key.clone());
        call.draft.put((*slot.entry).clone(), Some(new_live_until));
    }
    charge(call, &changes, outcome)
}

fn rent_change(
    key: &LedgerKey,
    size: u32,
    (old_size, old_live_until): (u32, u32),
    until: u32,
) -> LedgerEntryRentChange {
    LedgerEntryRentChange {
        is_persistent: !is_temporary(key),
        is_code_entry: matches!(key, LedgerKey::ContractCode(_)),
        old_size_bytes: old_size,
        new_size_bytes: size,
        old_live_until_ledger: old_live_until,
        new_live_until_ledger: until,
    }
}

fn charge(call: &Call<'_, '_>, changes: &[LedgerEntryRentChange], outcome: &mut Outcome) -> Result<(), Failure> {
    let rent = compute_rent_fee(changes, &call.context.config.network.rent_fee_configuration, call.context.ledger);
    if outcome.fees.charge(rent, 0) { Ok(()) } else { Err(Failure::RefundableFee) }
}
