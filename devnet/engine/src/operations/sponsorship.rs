//! Sponsoring the reserves of what a transaction creates.

use super::Scope;
use std::collections::BTreeMap;
use stellar_xdr::{
    AccountId, BeginSponsoringFutureReservesOp, BeginSponsoringFutureReservesResult, EndSponsoringFutureReservesResult,
    OperationResult, OperationResultTr,
};

/// Sponsorships begun and not ended in one transaction: sponsored account to sponsor.
#[derive(Debug, Default)]
pub struct Sponsorships(BTreeMap<AccountId, AccountId>);

impl Sponsorships {
    /// Who sponsors what is created for the account now.
    pub fn sponsor(&self, account: &AccountId) -> Option<&AccountId> {
        self.0.get(account)
    }

    /// Whether the account sponsors another one now.
    pub fn is_sponsoring(&self, account: &AccountId) -> bool {
        self.0.values().any(|sponsor| sponsor == account)
    }

    /// Whether all that were begun have ended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn begun(result: BeginSponsoringFutureReservesResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::BeginSponsoringFutureReserves(result))
}

pub fn check_begin(source: &AccountId, begin: &BeginSponsoringFutureReservesOp) -> Result<(), OperationResult> {
    if begin.sponsored_id == *source {
        return Err(begun(BeginSponsoringFutureReservesResult::Malformed));
    }
    Ok(())
}

pub fn begin(scope: &mut Scope<'_, '_>, begin: &BeginSponsoringFutureReservesOp) -> OperationResult {
    let open = &mut scope.sponsorships.0;
    begun(if open.contains_key(&begin.sponsored_id) {
        BeginSponsoringFutureReservesResult::AlreadySponsored
    } else if open.contains_key(scope.source) || open.values().any(|sponsor| *sponsor == begin.sponsored_id) {
        BeginSponsoringFutureReservesResult::Recursive
    } else {
        open.insert(begin.sponsored_id.clone(), scope.source.clone());
        BeginSponsoringFutureReservesResult::Success
    })
}

pub fn end(scope: &mut Scope<'_, '_>) -> OperationResult {
    let result = match scope.sponsorships.0.remove(scope.source) {
        Some(_) => EndSponsoringFutureReservesResult::Success,
        None => EndSponsoringFutureReservesResult::NotSponsored,
    };
    OperationResult::OpInner(OperationResultTr::EndSponsoringFutureReserves(result))
}
