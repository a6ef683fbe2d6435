//! Contract operations: declared resources, invoking, lengthening lives, restoring archived entries.

mod checks;
mod footprint;
mod invoke;
pub mod resources;
mod ttl;

use crate::context::LedgerContext;
use crate::draft::Draft;
use crate::envelope::SubmittedTransaction;
pub use checks::{check_operation, check_transaction};
use stellar_xdr::{
    AccountId, ContractEvent, DiagnosticEvent, OperationBody, OperationResult, ScVal, SorobanTransactionData,
    SorobanTransactionMetaExt, SorobanTransactionMetaExtV1, SorobanTransactionMetaV2,
};

/// What a contract operation works with.
pub struct Call<'a, 'd> {
    /// The ledger it is applied in.
    pub context: &'a LedgerContext<'a>,
    /// The state it reads and writes.
    pub draft: &'a mut Draft<'d>,
    /// Its transaction.
    pub transaction: &'a SubmittedTransaction,
    /// The transaction's declared resources.
    pub data: &'a SorobanTransactionData,
    /// The account it acts for.
    pub source: &'a AccountId,
}

/// What a contract operation came to, besides its result.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events of contracts; none if it failed.
    pub events: Vec<ContractEvent>,
    /// Events for finding errors, in failed calls too.
    pub diagnostics: Vec<DiagnosticEvent>,
    /// What the contract returned.
    pub return_value: Option<ScVal>,
    /// Fees in stroops.
    pub fees: Fees,
}

/// Where a contract transaction's resource fee went, in stroops.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fees {
    /// Never refunded.
    pub non_refundable: i64,
    /// Could have been refunded, was used.
    pub refundable_charged: i64,
    /// The part of the latter that is rent.
    pub rent: i64,
    /// Goes back to the payer.
    pub refund: i64,
}

impl Fees {
    /// Nothing used yet: all that can be refunded will be.
    pub fn new(context: &LedgerContext<'_>, data: &SorobanTransactionData, size_bytes: u32) -> Self {
        let (non_refundable, _) = resources::resource_fees(context.config, data, size_bytes, 0);
        Self { non_refundable, refund: (data.resource_fee - non_refundable).max(0), ..Self::default() }
    }

    /// Charges rent and events to the refundable part; false if that is too small.
    #[must_use]
    fn charge(&mut self, rent: i64, events: i64) -> bool {
        if rent + events > self.refund {
            return false;
        }
        self.rent = rent;
        self.refundable_charged = rent + events;
        self.refund -= rent + events;
        true
    }
}

impl Outcome {
    /// The same for the transaction's meta.
    pub fn meta(&self) -> SorobanTransactionMetaV2 {
        SorobanTransactionMetaV2 {
            ext: SorobanTransactionMetaExt::V1(SorobanTransactionMetaExtV1 {
                ext: stellar_xdr::ExtensionPoint::V0,
                total_non_refundable_resource_fee_charged: self.fees.non_refundable,
                total_refundable_resource_fee_charged: self.fees.refundable_charged,
                rent_fee_charged: self.fees.rent,
            }),
            return_value: self.return_value.clone(),
        }
    }
}

/// Applies a contract operation that passed its checks. On failure the caller drops what it wrote.
pub fn apply(call: &mut Call<'_, '_>, body: &OperationBody, outcome: &mut Outcome) -> OperationResult {
    match body {
        OperationBody::InvokeHostFunction(invoke) => invoke::invoke(call, invoke, outcome),
        OperationBody::ExtendFootprintTtl(extend) => ttl::extend(call, extend, outcome),
        OperationBody::RestoreFootprint(_) => ttl::restore(call, outcome),
        _ => OperationResult::OpNotSupported,
    }
}
