//! Payments of the native asset and of credit.

use super::{Scope, credit_asset};
use crate::reserves::available_balance;
use stellar_xdr::{
    AccountId, Asset, OperationResult, OperationResultTr, PaymentOp, PaymentResult, TrustLineAsset, TrustLineEntry,
    TrustLineFlags,
};

fn paid(result: PaymentResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::Payment(result))
}

pub fn check(payment: &PaymentOp) -> Result<(), OperationResult> {
    if payment.amount <= 0 || (payment.asset != Asset::Native && credit_asset(&payment.asset).is_none()) {
        return Err(paid(PaymentResult::Malformed));
    }
    Ok(())
}

pub fn pay(scope: &mut Scope<'_, '_>, payment: &PaymentOp) -> OperationResult {
    let destination = payment.destination.clone().account_id();
    let result = if scope.draft.account(&destination).is_none() {
        Err(PaymentResult::NoDestination)
    } else {
        match credit_asset(&payment.asset) {
            None => pay_native(scope, &destination, payment.amount),
            Some((asset, issuer)) => pay_credit(scope, &destination, &asset, &issuer, payment.amount),
        }
    };
    paid(result.err().unwrap_or(PaymentResult::Success))
}

fn pay_native(scope: &mut Scope<'_, '_>, destination: &AccountId, amount: i64) -> Result<(), PaymentResult> {
    if destination == scope.source {
        return Ok(());
    }
    let receiver = scope.draft.account_mut(destination).ok_or(PaymentResult::NoDestination)?;
    receiver.balance = receiver.balance.checked_add(amount).ok_or(PaymentResult::LineFull)?;
    let payer = scope.draft.account_mut(scope.source).ok_or(PaymentResult::Underfunded)?;
    if available_balance(payer, scope.context.base_reserve) < amount {
        return Err(PaymentResult::Underfunded);
    }
    payer.balance -= amount;
    Ok(())
}

/// The issuer has no trustline: what it pays is issued, what it receives is burned.
fn pay_credit(
    scope: &mut Scope<'_, '_>,
    destination: &AccountId,
    asset: &TrustLineAsset,
    issuer: &AccountId,
    amount: i64,
) -> Result<(), PaymentResult> {
    if destination != issuer {
        let line = scope.draft.trustline_mut(destination, asset).ok_or(PaymentResult::NoTrust)?;
        if !is_authorized(line) {
            return Err(PaymentResult::NotAuthorized);
        }
        let balance = line.balance.checked_add(amount).filter(|balance| *balance <= line.limit);
        line.balance = balance.ok_or(PaymentResult::LineFull)?;
    }
    if scope.source != issuer {
        let line = scope.draft.trustline_mut(scope.source, asset).ok_or(PaymentResult::SrcNoTrust)?;
        if !is_authorized(line) {
            return Err(PaymentResult::SrcNotAuthorized);
        }
        if line.balance < amount {
            return Err(PaymentResult::Underfunded);
        }
        line.balance -= amount;
    }
    Ok(())
}

fn is_authorized(line: &TrustLineEntry) -> bool {
    line.flags & TrustLineFlags::AuthorizedFlag as u32 != 0
}
