//! Opening, changing and closing trustlines.

use super::{Scope, trusted_asset};
use crate::draft::trustline_key;
use crate::reserves::{MAX_SUB_ENTRIES, release_sub_entry, reserve_sub_entry, set_sponsor, sponsor_of};
use stellar_xdr::{
    AccountFlags, AccountId, ChangeTrustOp, ChangeTrustResult, LedgerEntry, LedgerEntryData, LedgerEntryExt,
    OperationResult, OperationResultTr, TrustLineAsset, TrustLineEntry, TrustLineEntryExt, TrustLineFlags,
};

fn changed(result: ChangeTrustResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::ChangeTrust(result))
}

pub fn check(source: &AccountId, change: &ChangeTrustOp) -> Result<(), OperationResult> {
    match trusted_asset(&change.line) {
        Some((_, issuer)) if change.limit >= 0 && issuer != *source => Ok(()),
        _ => Err(changed(ChangeTrustResult::Malformed)),
    }
}

pub fn change(scope: &mut Scope<'_, '_>, change: &ChangeTrustOp) -> OperationResult {
    let Some((asset, issuer)) = trusted_asset(&change.line) else {
        return changed(ChangeTrustResult::Malformed);
    };
    let result = if let Some(line) = scope.draft.trustline(scope.source, &asset) {
        let balance = line.balance;
        change_line(scope, &asset, &issuer, change.limit, balance)
    } else {
        let sub_entries = scope.draft.account(scope.source).map_or(0, |account| account.num_sub_entries);
        if sub_entries >= MAX_SUB_ENTRIES {
            return OperationResult::OpTooManySubentries;
        }
        open_line(scope, asset, &issuer, change.limit)
    };
    changed(result.err().unwrap_or(ChangeTrustResult::Success))
}

fn change_line(
    scope: &mut Scope<'_, '_>,
    asset: &TrustLineAsset,
    issuer: &AccountId,
    limit: i64,
    balance: i64,
) -> Result<(), ChangeTrustResult> {
    if limit < balance {
        return Err(ChangeTrustResult::InvalidLimit);
    }
    if limit == 0 {
        let key = trustline_key(scope.source, asset);
        let sponsor = scope.draft.entry(&key).and_then(sponsor_of);
        scope.draft.remove(&key);
        release_sub_entry(scope.draft, scope.source, sponsor.as_ref());
        return Ok(());
    }
    if scope.draft.account(issuer).is_none() {
        return Err(ChangeTrustResult::NoIssuer);
    }
    let line = scope.draft.trustline_mut(scope.source, asset).ok_or(ChangeTrustResult::TrustLineMissing)?;
    line.limit = limit;
    Ok(())
}

fn open_line(
    scope: &mut Scope<'_, '_>,
    asset: TrustLineAsset,
    issuer: &AccountId,
    limit: i64,
) -> Result<(), ChangeTrustResult> {
    if limit == 0 {
        return Err(ChangeTrustResult::InvalidLimit);
    }
    let issuer_flags = scope.draft.account(issuer).ok_or(ChangeTrustResult::NoIssuer)?.flags;
    let sponsor = scope.sponsorships.sponsor(scope.source).cloned();
    reserve_sub_entry(scope.draft, scope.source, sponsor.as_ref(), scope.context.base_reserve)
        .map_err(|_| ChangeTrustResult::LowReserve)?;
    let line = TrustLineEntry {
        account_id: scope.source.clone(),
        asset,
        balance: 0,
        limit,
        flags: line_flags(issuer_flags),
        ext: TrustLineEntryExt::V0,
    };
    let data = LedgerEntryData::Trustline(line);
    let mut entry = LedgerEntry { last_modified_ledger_seq: scope.context.ledger, data, ext: LedgerEntryExt::V0 };
    set_sponsor(&mut entry, sponsor);
    scope.draft.put(entry, None);
    Ok(())
}

/// A line is authorised from the start unless its issuer wants to do that itself.
fn line_flags(issuer_flags: u32) -> u32 {
    let mut flags = 0;
    if issuer_flags & AccountFlags::RequiredFlag as u32 == 0 {
        flags |= TrustLineFlags::AuthorizedFlag as u32;
    }
    if issuer_flags & AccountFlags::ClawbackEnabledFlag as u32 != 0 {
        flags |= TrustLineFlags::TrustlineClawbackEnabledFlag as u32;
    }
    flags
}
