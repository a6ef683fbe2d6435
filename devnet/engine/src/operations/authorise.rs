//! What an issuer lets a trustline do: it authorises it, freezes it, and gives up the right to claw back.

use super::{Scope, credit_asset};
use crate::draft::Draft;
use stellar_xdr::{
    AccountFlags, AccountId, OperationResult, OperationResultTr, SetTrustLineFlagsOp, SetTrustLineFlagsResult,
    TrustLineAsset, TrustLineFlags,
};

const AUTHORIZED: u32 = TrustLineFlags::AuthorizedFlag as u32;
const MAINTAINS: u32 = TrustLineFlags::AuthorizedToMaintainLiabilitiesFlag as u32;
const CLAWBACK: u32 = TrustLineFlags::TrustlineClawbackEnabledFlag as u32;
const KNOWN_FLAGS: u32 = AUTHORIZED | MAINTAINS | CLAWBACK;

fn done(result: SetTrustLineFlagsResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::SetTrustLineFlags(result))
}

/// The issuer alone sets flags, of other accounts' lines; clawback can be taken away, never given.
pub fn check(source: &AccountId, set: &SetTrustLineFlagsOp) -> Result<(), OperationResult> {
    let issued = credit_asset(&set.asset).is_some_and(|(_, issuer)| issuer == *source) && set.trustor != *source;
    let distinct = set.set_flags & set.clear_flags == 0;
    let known = (set.set_flags | set.clear_flags) & !KNOWN_FLAGS == 0 && set.set_flags & CLAWBACK == 0;
    if issued && distinct && known && is_one_state(set.set_flags) {
        return Ok(());
    }
    Err(done(SetTrustLineFlagsResult::Malformed))
}

pub fn set(scope: &mut Scope<'_, '_>, set: &SetTrustLineFlagsOp) -> OperationResult {
    let Some((asset, _)) = credit_asset(&set.asset) else {
        return done(SetTrustLineFlagsResult::Malformed);
    };
    let revocable =
        scope.draft.account(scope.source).is_some_and(|issuer| issuer.flags & AccountFlags::RevocableFlag as u32 != 0);
    done(set_flags(scope.draft, set, &asset, revocable).err().unwrap_or(SetTrustLineFlagsResult::Success))
}

/// There are no offers on this ledger, so a line that loses its authorisation leaves none to be removed.
fn set_flags(
    draft: &mut Draft<'_>,
    set: &SetTrustLineFlagsOp,
    asset: &TrustLineAsset,
    revocable: bool,
) -> Result<(), SetTrustLineFlagsResult> {
    let line = draft.trustline_mut(&set.trustor, asset).ok_or(SetTrustLineFlagsResult::NoTrustLine)?;
    let flags = (line.flags & !set.clear_flags) | set.set_flags;
    if !is_one_state(flags) {
        return Err(SetTrustLineFlagsResult::InvalidState);
    }
    if !revocable && strength(flags) < strength(line.flags) {
        return Err(SetTrustLineFlagsResult::CantRevoke);
    }
    line.flags = flags;
    Ok(())
}

/// A line is authorised, or may keep what it has, not both.
fn is_one_state(flags: u32) -> bool {
    flags & (AUTHORIZED | MAINTAINS) != AUTHORIZED | MAINTAINS
}

/// What a line may do: 2 everything, 1 keep what it has, 0 nothing.
fn strength(flags: u32) -> u8 {
    match flags & (AUTHORIZED | MAINTAINS) {
        0 => 0,
        MAINTAINS => 1,
        _ => 2,
    }
}
