//! Setting an account's flags, thresholds, home domain and signers.

use super::{Scope, is_text};
use crate::reserves::{MAX_SUB_ENTRIES, release_sub_entry, reserve_sub_entry, sponsorship_counts};
use stellar_xdr::{
    AccountEntry, AccountFlags, AccountId, OperationResult, OperationResultTr, PublicKey, SetOptionsOp,
    SetOptionsResult, Signer, SignerKey, SponsorshipDescriptor,
};

const KNOWN_FLAGS: u32 = 0xF;
const MAX_SIGNERS: usize = 20;

fn done(result: SetOptionsResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::SetOptions(result))
}

/// Whether the operation changes who may sign for the account.
pub fn changes_signing(set: &SetOptionsOp) -> bool {
    let weights = [set.master_weight, set.low_threshold, set.med_threshold, set.high_threshold];
    weights.iter().any(Option::is_some) || set.signer.is_some()
}

pub fn check(source: &AccountId, set: &SetOptionsOp) -> Result<(), OperationResult> {
    let (sets, clears) = (set.set_flags.unwrap_or(0), set.clear_flags.unwrap_or(0));
    let weights = [set.master_weight, set.low_threshold, set.med_threshold, set.high_threshold];
    let failure = if sets & clears != 0 {
        SetOptionsResult::BadFlags
    } else if (sets | clears) & !KNOWN_FLAGS != 0 {
        SetOptionsResult::UnknownFlag
    } else if weights.iter().flatten().any(|weight| *weight > 255) {
        SetOptionsResult::ThresholdOutOfRange
    } else if set.signer.as_ref().is_some_and(|signer| is_bad_signer(source, signer)) {
        SetOptionsResult::BadSigner
    } else if set.home_domain.as_ref().is_some_and(|domain| !is_text(&domain.0)) {
        SetOptionsResult::InvalidHomeDomain
    } else {
        return Ok(());
    };
    Err(done(failure))
}

fn is_bad_signer(source: &AccountId, signer: &Signer) -> bool {
    let AccountId(PublicKey::PublicKeyTypeEd25519(own)) = source;
    let bad_key = match &signer.key {
        SignerKey::Ed25519(key) => key == own,
        SignerKey::Ed25519SignedPayload(key) => key.payload.is_empty(),
        SignerKey::PreAuthTx(_) | SignerKey::HashX(_) => false,
    };
    bad_key || signer.weight > 255
}

pub fn set(scope: &mut Scope<'_, '_>, set: &SetOptionsOp) -> OperationResult {
    let result = set_account(scope, set).and_then(|()| match &set.signer {
        Some(signer) if signer.weight == 0 => {
            remove_signer(scope, &signer.key);
            Ok(())
        }
        Some(signer) => put_signer(scope, signer),
        None => Ok(()),
    });
    done(result.err().unwrap_or(SetOptionsResult::Success))
}

fn set_account(scope: &mut Scope<'_, '_>, set: &SetOptionsOp) -> Result<(), SetOptionsResult> {
    if let Some(destination) = &set.inflation_dest
        && scope.draft.account(destination).is_none()
    {
        return Err(SetOptionsResult::InvalidInflation);
    }
    let account = scope.draft.account_mut(scope.source).ok_or(SetOptionsResult::CantChange)?;
    set_flags(account, set.set_flags.unwrap_or(0), set.clear_flags.unwrap_or(0))?;
    if let Some(destination) = &set.inflation_dest {
        account.inflation_dest = Some(destination.clone());
    }
    let weights = [set.master_weight, set.low_threshold, set.med_threshold, set.high_threshold];
    for (threshold, weight) in account.thresholds.0.iter_mut().zip(weights) {
        *threshold = weight.and_then(|weight| u8::try_from(weight).ok()).unwrap_or(*threshold);
    }
    if let Some(domain) = &set.home_domain {
        account.home_domain = domain.clone();
    }
    Ok(())
}

fn set_flags(account: &mut AccountEntry, sets: u32, clears: u32) -> Result<(), SetOptionsResult> {
    if sets | clears != 0 && account.flags & AccountFlags::ImmutableFlag as u32 != 0 {
        return Err(SetOptionsResult::CantChange);
    }
    let flags = (account.flags & !clears) | sets;
    let clawback = flags & AccountFlags::ClawbackEnabledFlag as u32 != 0;
    if clawback && flags & AccountFlags::RevocableFlag as u32 == 0 {
        return Err(SetOptionsResult::AuthRevocableRequired);
    }
    account.flags = flags;
    Ok(())
}

fn put_signer(scope: &mut Scope<'_, '_>, signer: &Signer) -> Result<(), SetOptionsResult> {
    let account = scope.draft.account_mut(scope.source).ok_or(SetOptionsResult::CantChange)?;
    let mut signers = account.signers.to_vec();
    let place = match signers.binary_search_by(|known| known.key.cmp(&signer.key)) {
        Ok(place) => {
            signers[place].weight = signer.weight;
            account.signers = signers.try_into().map_err(|_| SetOptionsResult::TooManySigners)?;
            return Ok(());
        }
        Err(place) => place,
    };
    if signers.len() >= MAX_SIGNERS || account.num_sub_entries >= MAX_SUB_ENTRIES {
        return Err(SetOptionsResult::TooManySigners);
    }
    let sponsor = scope.sponsorships.sponsor(scope.source).cloned();
    reserve_sub_entry(scope.draft, scope.source, sponsor.as_ref(), scope.context.base_reserve)
        .map_err(|_| SetOptionsResult::LowReserve)?;
    let account = scope.draft.account_mut(scope.source).ok_or(SetOptionsResult::CantChange)?;
    let mut sponsors = sponsorship_counts(account).signer_sponsoring_i_ds.to_vec();
    signers.insert(place, signer.clone());
    sponsors.insert(place, SponsorshipDescriptor(sponsor));
    set_signers(account, signers, sponsors).map_err(|()| SetOptionsResult::TooManySigners)
}

/// Removes a signer, if the account has it, and frees its reserve.
pub fn remove_signer(scope: &mut Scope<'_, '_>, key: &SignerKey) {
    let Some(account) = scope.draft.account_mut(scope.source) else { return };
    let mut signers = account.signers.to_vec();
    let Some(place) = signers.iter().position(|signer| signer.key == *key) else { return };
    let mut sponsors = sponsorship_counts(account).signer_sponsoring_i_ds.to_vec();
    signers.remove(place);
    let sponsor = sponsors.remove(place).0;
    if set_signers(account, signers, sponsors).is_ok() {
        release_sub_entry(scope.draft, scope.source, sponsor.as_ref());
    }
}

fn set_signers(
    account: &mut AccountEntry,
    signers: Vec<Signer>,
    sponsors: Vec<SponsorshipDescriptor>,
) -> Result<(), ()> {
    let signers = signers.try_into().map_err(|_| ())?;
    sponsorship_counts(account).signer_sponsoring_i_ds = sponsors.try_into().map_err(|_| ())?;
    account.signers = signers;
    Ok(())
}
