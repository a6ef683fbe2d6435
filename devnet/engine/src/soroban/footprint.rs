//! The footprint's entries, as the contract engine wants them.

use super::Call;
use super::resources::archived_entries;
use crate::codec::encode;
use crate::context::LedgerContext;
use crate::store::{Slot, has_life, is_expired};
use soroban_env_host::HostError;
use soroban_env_host::budget::Budget;
use soroban_env_host::e2e_invoke::{TtlLedgerEntryMeta, entry_size_for_rent};
use stellar_xdr::{ContractDataDurability, LedgerEntry};

/// An entry's XDR with its life; both `None` where the ledger has none.
pub type FootprintEntry = (Option<Vec<u8>>, Option<TtlLedgerEntryMeta>);

/// Why the footprint's entries can not be handed to the contract engine.
pub enum FootprintFault {
    /// An archived entry is not marked for restoring.
    Archived,
    /// More bytes to read from disk than declared.
    ReadBytes,
    /// The engine's own fault.
    Host(HostError),
}

/// Sizes of an entry in bytes: its XDR, and what rent is reckoned by.
pub fn entry_sizes(context: &LedgerContext<'_>, entry: &LedgerEntry) -> Result<(Vec<u8>, u32), HostError> {
    let encoded = encode(entry);
    let size = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let network = &context.config.network;
    let budget = Budget::try_from_configs(
        u64::MAX,
        u64::MAX,
        network.cpu_cost_params.clone(),
        network.memory_cost_params.clone(),
    )?;
    let for_rent = entry_size_for_rent(&budget, entry, size)?;
    Ok((encoded, for_rent))
}

/// The last ledger a persistent entry lives in when it is restored now.
pub fn restored_until(context: &LedgerContext<'_>) -> u32 {
    let info = context.ledger_info();
    info.min_live_until_ledger_checked(ContractDataDurability::Persistent).unwrap_or(u32::MAX)
}

/// Loads every entry of the footprint, read-only ones first; archived ones count as restored if they are marked.
pub fn load(call: &mut Call<'_, '_>) -> Result<Vec<FootprintEntry>, FootprintFault> {
    let footprint = &call.data.resources.footprint;
    let archived = archived_entries(call.data);
    let read_write = footprint.read_write.iter().enumerate().map(|(index, key)| {
        let marked = u32::try_from(index).is_ok_and(|index| archived.contains(&index));
        (key, marked)
    });
    let keys = footprint.read_only.iter().map(|key| (key, false)).chain(read_write);
    let mut entries = Vec::new();
    let mut read_bytes = 0_usize;
    for (key, marked) in keys {
        let Some(slot) = call.draft.slot(key).cloned() else {
            entries.push((None, None));
            continue;
        };
        let restored = is_expired(&slot, call.context.ledger);
        if restored && !marked {
            return Err(FootprintFault::Archived);
        }
        let entry = load_entry(call.context, &slot, restored).map_err(FootprintFault::Host)?;
        if restored || !has_life(key) {
            read_bytes += entry.0.as_ref().map_or(0, Vec::len);
        }
        if restored {
            call.draft.mark_restored(key.clone());
        }
        entries.push(entry);
    }
    if read_bytes > call.data.resources.disk_read_bytes as usize {
        return Err(FootprintFault::ReadBytes);
    }
    Ok(entries)
}

fn load_entry(context: &LedgerContext<'_>, slot: &Slot, restored: bool) -> Result<FootprintEntry, HostError> {
    let Some(live_until) = slot.live_until else {
        return Ok((Some(encode(slot.entry.as_ref())), None));
    };
    let live_until_ledger = if restored { restored_until(context) } else { live_until };
    let (encoded, entry_size_for_rent) = entry_sizes(context, &slot.entry)?;
    Ok((Some(encoded), Some(TtlLedgerEntryMeta { live_until_ledger, entry_size_for_rent })))
}
