//! Transactions waiting for a ledger: one for each source account, the best paying first when not all fit.

use crate::context::LedgerContext;
use crate::envelope::SubmittedTransaction;
use crate::soroban::resources::Resources;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use stellar_xdr::AccountId;

/// Ledgers a transaction may wait for its place before it is dropped.
const MAX_AGE: u32 = 4;
/// How many times the fee rate of the waiting transaction its replacement must bid.
const REPLACE_FACTOR: i128 = 10;

/// A waiting transaction.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The transaction.
    pub transaction: SubmittedTransaction,
    arrival: u64,
    age: u32,
}

/// What the queue thinks of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is room for it.
    Free,
    /// It may take the place of the one that waits.
    Replaces,
    /// The very same waits already.
    Duplicate,
    /// Another one of its source account waits.
    Occupied,
    /// It would replace the one that waits, but bids too little; the least fee that would do, in stroops.
    FeeTooLow(i64),
    /// Its sequence number comes before that of the one that waits.
    BadSequence,
}

/// Transactions that found their place in a ledger, and the price of one operation in each part, in stroops.
#[derive(Debug, Default)]
pub struct Selection {
    /// Classic transactions, in the order of arrival.
    pub classic: Vec<SubmittedTransaction>,
    /// Price of a classic operation.
    pub classic_fee: i64,
    /// Contract transactions, in the order of arrival.
    pub soroban: Vec<SubmittedTransaction>,
    /// Price of a contract operation.
    pub soroban_fee: i64,
}

/// The queue, by source account.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<AccountId, Queued>,
    owed: BTreeMap<AccountId, i64>,
    arrivals: u64,
}

impl Queue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Fees in stroops that the payer has agreed to for other transactions than those of `source`.
    pub fn owed(&self, payer: &AccountId, source: &AccountId) -> i64 {
        let total = self.owed.get(payer).copied().unwrap_or(0);
        let own = self.waiting.get(source).filter(|queued| queued.transaction.payer() == *payer);
        total - own.map_or(0, |queued| queued.transaction.fee())
    }

    /// Whether there is a place for the transaction.
    pub fn admission(&self, transaction: &SubmittedTransaction) -> Admission {
        let Some(queued) = self.waiting.get(&transaction.source()) else { return Admission::Free };
        let waiting = &queued.transaction;
        let (sequence, waits) = (&transaction.transaction().seq_num, &waiting.transaction().seq_num);
        if waiting.hash == transaction.hash {
            Admission::Duplicate
        } else if sequence < waits {
            Admission::BadSequence
        } else if transaction.fee_bump.is_none() || sequence != waits {
            Admission::Occupied
        } else {
            replacement(transaction, waiting)
        }
    }

    /// Adds a transaction, in place of the one of the same source account.
    pub fn push(&mut self, transaction: SubmittedTransaction) {
        self.remove(&transaction.source());
        self.arrivals += 1;
        *self.owed.entry(transaction.payer()).or_default() += transaction.fee();
        let queued = Queued { arrival: self.arrivals, age: 0, transaction };
        self.waiting.insert(queued.transaction.source(), queued);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.owed.clear();
    }

    /// Keeps the transactions for which `valid` holds, asking in the order of arrival; drops the others.
    pub fn retain(&mut self, mut valid: impl FnMut(&SubmittedTransaction) -> bool) {
        let mut sources: Vec<(u64, AccountId)> =
            self.waiting.iter().map(|(source, queued)| (queued.arrival, source.clone())).collect();
        sources.sort_unstable();
        for (_, source) in sources {
            if self.waiting.get(&source).is_some_and(|queued| !valid(&queued.transaction)) {
                self.remove(&source);
            }
        }
    }

    /// Takes what fits into one ledger, the highest bids first; the rest grows older and is dropped in the end.
    pub fn select(&mut self, context: &LedgerContext<'_>, classic_operations: i64) -> Selection {
        let mut waiting: Vec<Queued> = std::mem::take(&mut self.waiting).into_values().collect();
        self.owed.clear();
        waiting.sort_by(|a, b| compare_bids(&b.transaction, &a.transaction).then(a.arrival.cmp(&b.arrival)));
        let (soroban, classic) = waiting.into_iter().partition(|queued| queued.transaction.is_soroban());
        let mut operations_left = classic_operations;
        let (classic, classic_fee) = self.fill(context, classic, |transaction| {
            let fits = transaction.fee_operations() <= operations_left;
            operations_left -= if fits { transaction.fee_operations() } else { 0 };
            fits
        });
        let mut used = Resources::default();
        let (soroban, soroban_fee) = self.fill(context, soroban, |transaction| {
            let Some(data) = transaction.soroban_data() else { return false };
            let total = used.plus(Resources::declared(data, transaction.size_bytes));
            let fits = total.exceeds(&context.config.ledger_limit).is_none();
            used = if fits { total } else { used };
            fits
        });
        Selection { classic, classic_fee, soroban, soroban_fee }
    }

    /// Splits one part of the ledger into what fits and what goes on waiting, and finds its price: the base fee, or
    /// the lowest bid that was taken where another one was left out.
    fn fill(
        &mut self,
        context: &LedgerContext<'_>,
        candidates: Vec<Queued>,
        mut fits: impl FnMut(&SubmittedTransaction) -> bool,
    ) -> (Vec<SubmittedTransaction>, i64) {
        let (mut taken, left): (Vec<Queued>, Vec<Queued>) =
            candidates.into_iter().partition(|queued| fits(&queued.transaction));
        let lowest = taken.last().map(|queued| bid(&queued.transaction));
        let price = if left.is_empty() { None } else { lowest };
        for queued in left {
            self.keep_waiting(queued);
        }
        taken.sort_by_key(|queued| queued.arrival);
        let transactions = taken.into_iter().map(|queued| queued.transaction).collect();
        (transactions, price.unwrap_or(context.base_fee).max(context.base_fee))
    }

    fn keep_waiting(&mut self, mut queued: Queued) {
        queued.age += 1;
        if queued.age < MAX_AGE {
            *self.owed.entry(queued.transaction.payer()).or_default() += queued.transaction.fee();
            self.waiting.insert(queued.transaction.source(), queued);
        }
    }

    fn remove(&mut self, source: &AccountId) {
        if let Some(queued) = self.waiting.remove(source)
            && let Some(owed) = self.owed.get_mut(&queued.transaction.payer())
        {
            *owed -= queued.transaction.fee();
        }
    }
}

/// Highest price of one operation the transaction agrees to, in whole stroops.
fn bid(transaction: &SubmittedTransaction) -> i64 {
    transaction.inclusion_fee() / transaction.fee_operations()
}

fn compare_bids(a: &SubmittedTransaction, b: &SubmittedTransaction) -> Ordering {
    let left = i128::from(a.inclusion_fee()) * i128::from(b.fee_operations());
    left.cmp(&(i128::from(b.inclusion_fee()) * i128::from(a.fee_operations())))
}

fn replacement(new: &SubmittedTransaction, old: &SubmittedTransaction) -> Admission {
    let (new_operations, old_operations) = (i128::from(new.fee_operations()), i128::from(old.fee_operations()));
    let least = i128::from(old.inclusion_fee()) * REPLACE_FACTOR * new_operations;
    if i128::from(new.inclusion_fee()) * old_operations >= least {
        return Admission::Replaces;
    }
    let inclusion = (least + old_operations - 1).div_euclid(old_operations);
    let fee = i64::try_from(inclusion).unwrap_or(i64::MAX).saturating_add(new.resource_fee());
    Admission::FeeTooLow(fee)
}
