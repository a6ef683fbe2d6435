//! Small named values kept with an account, such as the wish for a memo (SEP-29).

use super::{Scope, is_text};
use crate::draft::data_key;
use crate::reserves::{MAX_SUB_ENTRIES, release_sub_entry, reserve_sub_entry, set_sponsor, sponsor_of};
use stellar_xdr::{
    DataEntry, DataEntryExt, DataValue, LedgerEntry, LedgerEntryData, LedgerEntryExt, LedgerKey, ManageDataOp,
    ManageDataResult, OperationResult, OperationResultTr, String64,
};

fn managed(result: ManageDataResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::ManageData(result))
}

/// Whether an entry may have the name.
pub fn is_name(name: &String64) -> bool {
    !name.0.is_empty() && is_text(&name.0)
}

pub fn check(manage: &ManageDataOp) -> Result<(), OperationResult> {
    if is_name(&manage.data_name) { Ok(()) } else { Err(managed(ManageDataResult::InvalidName)) }
}

pub fn manage(scope: &mut Scope<'_, '_>, manage: &ManageDataOp) -> OperationResult {
    let key = data_key(scope.source, &manage.data_name);
    let known = scope.draft.entry(&key).is_some();
    let result = match &manage.data_value {
        Some(value) if known => change(scope, &key, value),
        Some(value) => {
            let sub_entries = scope.draft.account(scope.source).map_or(0, |account| account.num_sub_entries);
            if sub_entries >= MAX_SUB_ENTRIES {
                return OperationResult::OpTooManySubentries;
            }
            create(scope, &manage.data_name, value)
        }
        None if known => {
            remove(scope, &key);
            Ok(())
        }
        None => Err(ManageDataResult::NameNotFound),
    };
    managed(result.err().unwrap_or(ManageDataResult::Success))
}

fn create(scope: &mut Scope<'_, '_>, name: &String64, value: &DataValue) -> Result<(), ManageDataResult> {
    let sponsor = scope.sponsorships.sponsor(scope.source).cloned();
    reserve_sub_entry(scope.draft, scope.source, sponsor.as_ref(), scope.context.base_reserve)
        .map_err(|_| ManageDataResult::LowReserve)?;
    let data = LedgerEntryData::Data(DataEntry {
        account_id: scope.source.clone(),
        data_name: name.clone(),
        data_value: value.clone(),
        ext: DataEntryExt::V0,
    });
    let mut entry = LedgerEntry { last_modified_ledger_seq: scope.context.ledger, data, ext: LedgerEntryExt::V0 };
    set_sponsor(&mut entry, sponsor);
    scope.draft.put(entry, None);
    Ok(())
}

fn change(scope: &mut Scope<'_, '_>, key: &LedgerKey, value: &DataValue) -> Result<(), ManageDataResult> {
    let entry = scope.draft.entry_mut(key).ok_or(ManageDataResult::NameNotFound)?;
    if let LedgerEntryData::Data(data) = &mut entry.data {
        data.data_value = value.clone();
    }
    Ok(())
}

fn remove(scope: &mut Scope<'_, '_>, key: &LedgerKey) {
    let sponsor = scope.draft.entry(key).and_then(sponsor_of);
    scope.draft.remove(key);
    release_sub_entry(scope.draft, scope.source, sponsor.as_ref());
}
