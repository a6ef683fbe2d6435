//! Giving up the sponsorship of an entry or a signer, or handing it to another sponsor.

use super::{Scope, data};
use crate::reserves::{
    ACCOUNT_RESERVES, available_balance, set_sponsor, sponsor_of, sponsorship_counts, start_sponsoring, stop_sponsoring,
};
use stellar_xdr::{
    AccountId, LedgerKey, OperationResult, OperationResultTr, RevokeSponsorshipOp, RevokeSponsorshipOpSigner,
    RevokeSponsorshipResult, SignerKey, SponsorshipDescriptor,
};

fn revoked(result: RevokeSponsorshipResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::RevokeSponsorship(result))
}

pub fn check(revoke: &RevokeSponsorshipOp) -> Result<(), OperationResult> {
    match revoke {
        RevokeSponsorshipOp::LedgerEntry(LedgerKey::Account(_) | LedgerKey::Trustline(_))
        | RevokeSponsorshipOp::Signer(_) => Ok(()),
        RevokeSponsorshipOp::LedgerEntry(LedgerKey::Data(key)) if data::is_name(&key.data_name) => Ok(()),
        RevokeSponsorshipOp::LedgerEntry(_) => Err(revoked(RevokeSponsorshipResult::Malformed)),
    }
}

pub fn revoke(scope: &mut Scope<'_, '_>, revoke: &RevokeSponsorshipOp) -> OperationResult {
    let result = match revoke {
        RevokeSponsorshipOp::LedgerEntry(key) => revoke_entry(scope, key),
        RevokeSponsorshipOp::Signer(signer) => revoke_signer(scope, signer),
    };
    revoked(result.err().unwrap_or(RevokeSponsorshipResult::Success))
}

fn revoke_entry(scope: &mut Scope<'_, '_>, key: &LedgerKey) -> Result<(), RevokeSponsorshipResult> {
    let (owner, reserves) = match key {
        LedgerKey::Account(account) => (&account.account_id, ACCOUNT_RESERVES),
        LedgerKey::Trustline(line) => (&line.account_id, 1),
        LedgerKey::Data(data) => (&data.account_id, 1),
        _ => return Err(RevokeSponsorshipResult::Malformed),
    };
    let entry = scope.draft.entry(key).ok_or(RevokeSponsorshipResult::DoesNotExist)?;
    let old = sponsor_of(entry);
    let sponsor = move_sponsorship(scope, owner, old.as_ref(), reserves)?;
    let entry = scope.draft.entry_mut(key).ok_or(RevokeSponsorshipResult::DoesNotExist)?;
    set_sponsor(entry, sponsor);
    Ok(())
}

fn revoke_signer(scope: &mut Scope<'_, '_>, revoke: &RevokeSponsorshipOpSigner) -> Result<(), RevokeSponsorshipResult> {
    let owner = &revoke.account_id;
    let (place, mut sponsors) =
        signer_sponsors(scope, owner, &revoke.signer_key).ok_or(RevokeSponsorshipResult::DoesNotExist)?;
    let sponsor = move_sponsorship(scope, owner, sponsors[place].0.as_ref(), 1)?;
    sponsors[place] = SponsorshipDescriptor(sponsor);
    let account = scope.draft.account_mut(owner).ok_or(RevokeSponsorshipResult::DoesNotExist)?;
    sponsorship_counts(account).signer_sponsoring_i_ds =
        sponsors.try_into().map_err(|_| RevokeSponsorshipResult::Malformed)?;
    Ok(())
}

/// The signer's place among the account's signers, and the sponsors of all of them.
fn signer_sponsors(
    scope: &Scope<'_, '_>,
    owner: &AccountId,
    key: &SignerKey,
) -> Option<(usize, Vec<SponsorshipDescriptor>)> {
    let mut account = scope.draft.account(owner)?.clone();
    let place = account.signers.iter().position(|signer| signer.key == *key)?;
    Some((place, sponsorship_counts(&mut account).signer_sponsoring_i_ds.to_vec()))
}

/// Moves reserves from the old sponsor (or the owner) to the one the source is sponsored by now (or the owner).
fn move_sponsorship(
    scope: &mut Scope<'_, '_>,
    owner: &AccountId,
    old: Option<&AccountId>,
    reserves: u32,
) -> Result<Option<AccountId>, RevokeSponsorshipResult> {
    if old.unwrap_or(owner) != scope.source {
        return Err(RevokeSponsorshipResult::NotSponsor);
    }
    let base_reserve = scope.context.base_reserve;
    let new = scope.sponsorships.sponsor(scope.source).filter(|sponsor| *sponsor != owner).cloned();
    if let Some(sponsor) = old {
        stop_sponsoring(scope.draft, sponsor, reserves);
    }
    if let Some(sponsor) = &new {
        start_sponsoring(scope.draft, sponsor, reserves, base_reserve)
            .map_err(|_| RevokeSponsorshipResult::LowReserve)?;
    }
    if old.is_some() != new.is_some() {
        let account = scope.draft.account_mut(owner).ok_or(RevokeSponsorshipResult::DoesNotExist)?;
        let counts = sponsorship_counts(account);
        counts.num_sponsored = match new {
            Some(_) => counts.num_sponsored.saturating_add(reserves),
            None => counts.num_sponsored.saturating_sub(reserves),
        };
        if new.is_none() && available_balance(account, base_reserve) < 0 {
            return Err(RevokeSponsorshipResult::LowReserve);
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{account_key, data_key};
    use stellar_xdr::{PublicKey, String64, Uint256};

    #[test]
    fn an_entry_without_a_name_has_no_sponsor_to_revoke() {
        let account = AccountId(PublicKey::PublicKeyTypeEd25519(Uint256([7; 32])));
        assert!(check(&RevokeSponsorshipOp::LedgerEntry(account_key(&account))).is_ok());
        let named = data_key(&account, &String64("a".try_into().unwrap()));
        assert!(check(&RevokeSponsorshipOp::LedgerEntry(named)).is_ok());
        let nameless = data_key(&account, &String64::default());
        assert_eq!(
            check(&RevokeSponsorshipOp::LedgerEntry(nameless)),
            Err(revoked(RevokeSponsorshipResult::Malformed))
        );
    }
}
