//! What an account's entries reserve of its balance, and who sponsors them.

use crate::draft::Draft;
use stellar_xdr::{
    AccountEntry, AccountEntryExt, AccountEntryExtensionV1, AccountEntryExtensionV1Ext, AccountEntryExtensionV2,
    AccountEntryExtensionV2Ext, AccountEntryExtensionV3, AccountId, ExtensionPoint, LedgerEntry, LedgerEntryExt,
    LedgerEntryExtensionV1, LedgerEntryExtensionV1Ext, Liabilities, SponsorshipDescriptor, TimePoint,
};

/// Reserves of an account's own entry.
pub const ACCOUNT_RESERVES: u32 = 2;
/// Most trustlines, signers and the like an account may have.
pub const MAX_SUB_ENTRIES: u32 = 1000;

/// The balance does not cover the reserve.
pub struct LowReserve;

/// Reserves that others hold for the account, and that it holds for others.
pub fn sponsored_and_sponsoring(account: &AccountEntry) -> (u32, u32) {
    match &account.ext {
        AccountEntryExt::V1(AccountEntryExtensionV1 { ext: AccountEntryExtensionV1Ext::V2(v2), .. }) => {
            (v2.num_sponsored, v2.num_sponsoring)
        }
        _ => (0, 0),
    }
}

/// The balance in stroops an account may not go below.
pub fn min_balance(account: &AccountEntry, base_reserve: i64) -> i64 {
    let (sponsored, sponsoring) = sponsored_and_sponsoring(account);
    let own = i64::from(ACCOUNT_RESERVES) + i64::from(account.num_sub_entries);
    (own + i64::from(sponsoring) - i64::from(sponsored)) * base_reserve
}

/// The balance in stroops an account can spend.
pub fn available_balance(account: &AccountEntry, base_reserve: i64) -> i64 {
    account.balance - min_balance(account, base_reserve)
}

/// The extension that counts sponsorships; as many sponsor places as the account has signers.
pub fn sponsorship_counts(account: &mut AccountEntry) -> &mut AccountEntryExtensionV2 {
    let signers = account.signers.len();
    if let AccountEntryExt::V0 = account.ext {
        account.ext = AccountEntryExt::V1(AccountEntryExtensionV1 {
            liabilities: Liabilities { buying: 0, selling: 0 },
            ext: AccountEntryExtensionV1Ext::V0,
        });
    }
    let AccountEntryExt::V1(v1) = &mut account.ext else { unreachable!("set above") };
    if let AccountEntryExtensionV1Ext::V0 = v1.ext {
        let places = vec![SponsorshipDescriptor(None); signers];
        v1.ext = AccountEntryExtensionV1Ext::V2(AccountEntryExtensionV2 {
            num_sponsored: 0,
            num_sponsoring: 0,
            signer_sponsoring_i_ds: places.try_into().unwrap_or_default(),
            ext: AccountEntryExtensionV2Ext::V0,
        });
    }
    let AccountEntryExtensionV1Ext::V2(v2) = &mut v1.ext else { unreachable!("set above") };
    v2
}

/// Records when the account last used a sequence number.
pub fn stamp_sequence(account: &mut AccountEntry, ledger: u32, close_time: u64) {
    sponsorship_counts(account).ext = AccountEntryExtensionV2Ext::V3(AccountEntryExtensionV3 {
        ext: ExtensionPoint::V0,
        seq_ledger: ledger,
        seq_time: TimePoint(close_time),
    });
}

/// Ledger and time at which the account last used a sequence number; zeros if that was never recorded.
pub fn sequence_stamp(account: &AccountEntry) -> (u32, u64) {
    let AccountEntryExt::V1(v1) = &account.ext else { return (0, 0) };
    let AccountEntryExtensionV1Ext::V2(v2) = &v1.ext else { return (0, 0) };
    match &v2.ext {
        AccountEntryExtensionV2Ext::V0 => (0, 0),
        AccountEntryExtensionV2Ext::V3(v3) => (v3.seq_ledger, v3.seq_time.0),
    }
}

/// Who sponsors an entry.
pub fn sponsor_of(entry: &LedgerEntry) -> Option<AccountId> {
    match &entry.ext {
        LedgerEntryExt::V0 => None,
        LedgerEntryExt::V1(v1) => v1.sponsoring_id.0.clone(),
    }
}

/// Notes who sponsors an entry.
pub fn set_sponsor(entry: &mut LedgerEntry, sponsor: Option<AccountId>) {
    entry.ext = match sponsor {
        None => LedgerEntryExt::V0,
        Some(sponsor) => LedgerEntryExt::V1(LedgerEntryExtensionV1 {
            sponsoring_id: SponsorshipDescriptor(Some(sponsor)),
            ext: LedgerEntryExtensionV1Ext::V0,
        }),
    };
}

/// Lets the sponsor hold `count` more reserves for others.
pub fn start_sponsoring(
    draft: &mut Draft<'_>,
    sponsor: &AccountId,
    count: u32,
    base_reserve: i64,
) -> Result<(), LowReserve> {
    let account = draft.account_mut(sponsor).ok_or(LowReserve)?;
    if available_balance(account, base_reserve) < i64::from(count) * base_reserve {
        return Err(LowReserve);
    }
    let counts = sponsorship_counts(account);
    counts.num_sponsoring = counts.num_sponsoring.saturating_add(count);
    Ok(())
}

/// Frees `count` reserves that the sponsor held for others.
pub fn stop_sponsoring(draft: &mut Draft<'_>, sponsor: &AccountId, count: u32) {
    if let Some(account) = draft.account_mut(sponsor) {
        let counts = sponsorship_counts(account);
        counts.num_sponsoring = counts.num_sponsoring.saturating_sub(count);
    }
}

/// Reserves one more entry for `owner`: by the sponsor if there is one, else out of the owner's balance.
pub fn reserve_sub_entry(
    draft: &mut Draft<'_>,
    owner: &AccountId,
    sponsor: Option<&AccountId>,
    base_reserve: i64,
) -> Result<(), LowReserve> {
    if let Some(sponsor) = sponsor {
        start_sponsoring(draft, sponsor, 1, base_reserve)?;
    }
    let account = draft.account_mut(owner).ok_or(LowReserve)?;
    if sponsor.is_some() {
        sponsorship_counts(account).num_sponsored += 1;
    } else if available_balance(account, base_reserve) < base_reserve {
        return Err(LowReserve);
    }
    account.num_sub_entries += 1;
    Ok(())
}

/// Frees the reserve of one of `owner`'s entries.
pub fn release_sub_entry(draft: &mut Draft<'_>, owner: &AccountId, sponsor: Option<&AccountId>) {
    if let Some(sponsor) = sponsor {
        stop_sponsoring(draft, sponsor, 1);
    }
    if let Some(account) = draft.account_mut(owner) {
        account.num_sub_entries = account.num_sub_entries.saturating_sub(1);
        if sponsor.is_some() {
            let counts = sponsorship_counts(account);
            counts.num_sponsored = counts.num_sponsored.saturating_sub(1);
        }
    }
}
