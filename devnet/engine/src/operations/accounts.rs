//! Creating accounts and merging them into others.

use super::Scope;
use crate::draft::account_key;
use crate::reserves::{
    ACCOUNT_RESERVES, available_balance, set_sponsor, sponsor_of, sponsored_and_sponsoring, sponsorship_counts,
    start_sponsoring, stop_sponsoring,
};
use stellar_xdr::{
    AccountEntry, AccountEntryExt, AccountFlags, AccountId, AccountMergeResult, CreateAccountOp, CreateAccountResult,
    LedgerEntry, LedgerEntryData, LedgerEntryExt, MuxedAccount, OperationResult, OperationResultTr, SequenceNumber,
    Thresholds,
};

fn created(result: CreateAccountResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::CreateAccount(result))
}

fn merged(result: AccountMergeResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::AccountMerge(result))
}

/// A new account signed by its own key alone.
pub fn new_account(account: &AccountId, balance: i64, sequence: i64) -> AccountEntry {
    AccountEntry {
        account_id: account.clone(),
        balance,
        seq_num: SequenceNumber(sequence),
        num_sub_entries: 0,
        inflation_dest: None,
        flags: 0,
        home_domain: stellar_xdr::String32::default(),
        thresholds: Thresholds([1, 0, 0, 0]),
        signers: stellar_xdr::VecM::default(),
        ext: AccountEntryExt::V0,
    }
}

pub fn check_create(source: &AccountId, create: &CreateAccountOp) -> Result<(), OperationResult> {
    if create.starting_balance < 0 || create.destination == *source {
        return Err(created(CreateAccountResult::Malformed));
    }
    Ok(())
}

pub fn create(scope: &mut Scope<'_, '_>, create: &CreateAccountOp) -> OperationResult {
    created(create_account(scope, create).err().unwrap_or(CreateAccountResult::Success))
}

fn create_account(scope: &mut Scope<'_, '_>, create: &CreateAccountOp) -> Result<(), CreateAccountResult> {
    let reserve = scope.context.base_reserve;
    if scope.draft.account(&create.destination).is_some() {
        return Err(CreateAccountResult::AlreadyExist);
    }
    let mut account = new_account(&create.destination, create.starting_balance, i64::from(scope.context.ledger) << 32);
    let sponsor = scope.sponsorships.sponsor(&create.destination).cloned();
    if let Some(sponsor) = &sponsor {
        start_sponsoring(scope.draft, sponsor, ACCOUNT_RESERVES, reserve)
            .map_err(|_| CreateAccountResult::LowReserve)?;
        sponsorship_counts(&mut account).num_sponsored = ACCOUNT_RESERVES;
    } else if create.starting_balance < i64::from(ACCOUNT_RESERVES) * reserve {
        return Err(CreateAccountResult::LowReserve);
    }
    let funder = scope.draft.account_mut(scope.source).ok_or(CreateAccountResult::Underfunded)?;
    if available_balance(funder, reserve) < create.starting_balance {
        return Err(CreateAccountResult::Underfunded);
    }
    funder.balance -= create.starting_balance;
    let mut entry = LedgerEntry {
        last_modified_ledger_seq: scope.context.ledger,
        data: LedgerEntryData::Account(account),
        ext: LedgerEntryExt::V0,
    };
    set_sponsor(&mut entry, sponsor);
    scope.draft.put(entry, None);
    Ok(())
}

pub fn check_merge(source: &AccountId, destination: &MuxedAccount) -> Result<(), OperationResult> {
    if destination.clone().account_id() == *source {
        return Err(merged(AccountMergeResult::Malformed));
    }
    Ok(())
}

pub fn merge(scope: &mut Scope<'_, '_>, destination: &MuxedAccount) -> OperationResult {
    merged(match merge_account(scope, &destination.clone().account_id()) {
        Ok(balance) => AccountMergeResult::Success(balance),
        Err(failure) => failure,
    })
}

fn merge_account(scope: &mut Scope<'_, '_>, destination: &AccountId) -> Result<i64, AccountMergeResult> {
    if scope.draft.account(destination).is_none() {
        return Err(AccountMergeResult::NoAccount);
    }
    let account = scope.draft.account(scope.source).ok_or(AccountMergeResult::NoAccount)?.clone();
    check_mergeable(scope, &account)?;
    let receiver = scope.draft.account_mut(destination).ok_or(AccountMergeResult::NoAccount)?;
    receiver.balance = receiver.balance.checked_add(account.balance).ok_or(AccountMergeResult::DestFull)?;
    release_sponsors(scope, account.clone());
    scope.draft.remove(&account_key(scope.source));
    Ok(account.balance)
}

fn check_mergeable(scope: &Scope<'_, '_>, account: &AccountEntry) -> Result<(), AccountMergeResult> {
    if account.flags & AccountFlags::ImmutableFlag as u32 != 0 {
        return Err(AccountMergeResult::ImmutableSet);
    }
    if account.num_sub_entries as usize != account.signers.len() {
        return Err(AccountMergeResult::HasSubEntries);
    }
    if account.seq_num.0 >= i64::from(scope.context.ledger) << 32 {
        return Err(AccountMergeResult::SeqnumTooFar);
    }
    if sponsored_and_sponsoring(account).1 > 0 || scope.sponsorships.is_sponsoring(scope.source) {
        return Err(AccountMergeResult::IsSponsor);
    }
    Ok(())
}

/// Frees what others hold for the account and for its signers.
fn release_sponsors(scope: &mut Scope<'_, '_>, mut account: AccountEntry) {
    let signer_sponsors = sponsorship_counts(&mut account).signer_sponsoring_i_ds.clone();
    for sponsor in signer_sponsors.iter().filter_map(|sponsor| sponsor.0.as_ref()) {
        stop_sponsoring(scope.draft, sponsor, 1);
    }
    if let Some(sponsor) = scope.draft.entry(&account_key(scope.source)).and_then(sponsor_of) {
        stop_sponsoring(scope.draft, &sponsor, ACCOUNT_RESERVES);
    }
}
