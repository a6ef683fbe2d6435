//! Classic operations: what they need, what makes them invalid at any time, and what they do.

mod accounts;
mod authorise;
mod data;
mod options;
mod payments;
mod revoke;
mod sponsorship;
mod trust;

use crate::context::LedgerContext;
use crate::draft::Draft;
use crate::signatures::Threshold;
pub use accounts::new_account;
pub use options::remove_signer;
pub use sponsorship::Sponsorships;
use stellar_xdr::{AccountId, Asset, ChangeTrustAsset, OperationBody, OperationResult, TrustLineAsset};

/// What an operation works with.
pub struct Scope<'a, 'd> {
    /// The ledger it is applied in.
    pub context: &'a LedgerContext<'a>,
    /// The state it reads and writes.
    pub draft: &'a mut Draft<'d>,
    /// Sponsorships that the transaction has begun and not ended.
    pub sponsorships: &'a mut Sponsorships,
    /// The account it acts for, which exists.
    pub source: &'a AccountId,
}

/// The weight of signatures the operation needs.
pub fn threshold(body: &OperationBody) -> Threshold {
    match body {
        OperationBody::AccountMerge(_) => Threshold::High,
        OperationBody::SetOptions(set) if options::changes_signing(set) => Threshold::High,
        OperationBody::SetTrustLineFlags(_)
        | OperationBody::ExtendFootprintTtl(_)
        | OperationBody::RestoreFootprint(_) => Threshold::Low,
        _ => Threshold::Medium,
    }
}

/// Refuses what no state of the ledger can make valid, and operations this ledger does not know.
pub fn check(source: &AccountId, body: &OperationBody) -> Result<(), OperationResult> {
    match body {
        OperationBody::CreateAccount(create) => accounts::check_create(source, create),
        OperationBody::AccountMerge(destination) => accounts::check_merge(source, destination),
        OperationBody::Payment(payment) => payments::check(payment),
        OperationBody::ChangeTrust(change) => trust::check(source, change),
        OperationBody::SetTrustLineFlags(set) => authorise::check(source, set),
        OperationBody::SetOptions(set) => options::check(source, set),
        OperationBody::ManageData(manage) => data::check(manage),
        OperationBody::BeginSponsoringFutureReserves(begin) => sponsorship::check_begin(source, begin),
        OperationBody::EndSponsoringFutureReserves => Ok(()),
        OperationBody::RevokeSponsorship(revoke) => revoke::check(revoke),
        _ => Err(OperationResult::OpNotSupported),
    }
}

/// Applies a classic operation that passed [`check`]. On failure the caller drops what it wrote.
pub fn apply(scope: &mut Scope<'_, '_>, body: &OperationBody) -> OperationResult {
    match body {
        OperationBody::CreateAccount(create) => accounts::create(scope, create),
        OperationBody::AccountMerge(destination) => accounts::merge(scope, destination),
        OperationBody::Payment(payment) => payments::pay(scope, payment),
        OperationBody::ChangeTrust(change) => trust::change(scope, change),
        OperationBody::SetTrustLineFlags(set) => authorise::set(scope, set),
        OperationBody::SetOptions(set) => options::set(scope, set),
        OperationBody::ManageData(manage) => data::manage(scope, manage),
        OperationBody::BeginSponsoringFutureReserves(begin) => sponsorship::begin(scope, begin),
        OperationBody::EndSponsoringFutureReserves => sponsorship::end(scope),
        OperationBody::RevokeSponsorship(revoke) => revoke::revoke(scope, revoke),
        _ => OperationResult::OpNotSupported,
    }
}

/// Printable ASCII, as names and domains on the ledger have to be.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// A credit asset as trustlines name it, with its issuer; `None` for the native one or an invalid code.
fn credit_asset(asset: &Asset) -> Option<(TrustLineAsset, AccountId)> {
    let (line, issuer, code) = match asset {
        Asset::Native => return None,
        Asset::CreditAlphanum4(credit) => {
            (TrustLineAsset::CreditAlphanum4(credit.clone()), &credit.issuer, credit.asset_code.0.to_vec())
        }
        Asset::CreditAlphanum12(credit) => {
            (TrustLineAsset::CreditAlphanum12(credit.clone()), &credit.issuer, credit.asset_code.0.to_vec())
        }
    };
    is_asset_code(&code).then(|| (line, issuer.clone()))
}

/// The same for the asset a trustline is to be opened for; pool shares are not known here.
fn trusted_asset(line: &ChangeTrustAsset) -> Option<(TrustLineAsset, AccountId)> {
    match line {
        ChangeTrustAsset::CreditAlphanum4(credit) => credit_asset(&Asset::CreditAlphanum4(credit.clone())),
        ChangeTrustAsset::CreditAlphanum12(credit) => credit_asset(&Asset::CreditAlphanum12(credit.clone())),
        ChangeTrustAsset::Native | ChangeTrustAsset::PoolShare(_) => None,
    }
}

/// Letters and digits, then nothing but zero bytes; twelve-byte codes have at least five characters.
fn is_asset_code(code: &[u8]) -> bool {
    let length = code.iter().position(|byte| *byte == 0).unwrap_or(code.len());
    let (name, padding) = code.split_at(length);
    let shortest = if code.len() == 12 { 5 } else { 1 };
    name.len() >= shortest && name.iter().all(u8::is_ascii_alphanumeric) && padding.iter().all(|byte| *byte == 0)
}
