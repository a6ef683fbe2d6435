use soroban_sdk::{BytesN, Env, contracttype};

use crate::{Error, storage};

/// A block lasts at least this many seconds of ledger time.
pub const BLOCK_SECONDS: u64 = 300;

/// A block, or (as `FarmBlock`) what the farm has seen since it last opened one.
///
/// The ranges of an open block are those seen during the block before; its own activity goes into `FarmBlock` and
/// the two totals.
#[contracttype]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Ledger time at which it was opened, in seconds.
    pub timestamp: u64,
    /// Least gap, in ledgers.
    pub min_gap: u32,
    /// Least stake, in stroops.
    pub min_stake: i128,
    /// Fewest zeros of a hash.
    pub min_zeros: u32,
    /// Greatest gap, in ledgers.
    pub max_gap: u32,
    /// Greatest stake, in stroops.
    pub max_stake: i128,
    /// Most zeros of a hash.
    pub max_zeros: u32,
    /// Last hash accepted in the block before (in `FarmBlock`: in this block); zeros if there was none.
    pub entropy: BytesN<32>,
    /// Stakes planted and not worked yet, in stroops.
    pub staked_total: i128,
    /// Sum of the scores of all worked pails.
    pub normalized_total: i128,
}

impl Block {
    /// A `FarmBlock` that has seen nothing yet.
    pub fn unseen(env: &Env) -> Self {
        Self {
            timestamp: env.ledger().timestamp(),
            min_gap: u32::MAX,
            min_stake: i128::MAX,
            min_zeros: u32::MAX,
            max_gap: 0,
            max_stake: i128::MIN,
            max_zeros: 0,
            entropy: BytesN::from_array(env, &[0; 32]),
            staked_total: 0,
            normalized_total: 0,
        }
    }

    /// Whether the block's time is over.
    pub fn is_over(&self, env: &Env) -> bool {
        env.ledger().timestamp() >= self.timestamp + BLOCK_SECONDS
    }

    /// Widens the stake's range to one just planted.
    pub fn see_stake(&mut self, stake: i128) {
        self.min_stake = self.min_stake.min(stake);
        self.max_stake = self.max_stake.max(stake);
    }

    /// Widens the ranges to a work just accepted, whose hash becomes the next block's entropy.
    pub fn see_work(&mut self, gap: u32, zeros: u32, hash: &BytesN<32>) {
        self.min_gap = self.min_gap.min(gap);
        self.max_gap = self.max_gap.max(gap);
        self.min_zeros = self.min_zeros.min(zeros);
        self.max_zeros = self.max_zeros.max(zeros);
        self.entropy = hash.clone();
    }

    /// The block that opens now, with the ranges this `FarmBlock` has seen: what it has not seen counts as 0.
    fn opened(&self, env: &Env) -> Self {
        let seen = |value: u32| if value == u32::MAX { 0 } else { value };
        Self {
            timestamp: env.ledger().timestamp(),
            min_gap: seen(self.min_gap),
            min_stake: if self.min_stake == i128::MAX { 0 } else { self.min_stake },
            min_zeros: seen(self.min_zeros),
            max_stake: if self.max_stake == i128::MIN { 0 } else { self.max_stake },
            staked_total: 0,
            normalized_total: 0,
            ..self.clone()
        }
    }
}

/// The current block and its index; opened now if the last one's time is over or it is gone.
///
/// `farm_block` starts afresh with a block opened in time. It goes on counting where the current block was missing:
/// on a new farm, whose index stays 0, or after the block's entry expired, which costs an index.
pub fn current(env: &Env, farm_block: &mut Block) -> (u32, Block) {
    let index = storage::farm_index(env);
    let over = farm_block.is_over(env);
    if !over && let Some(block) = storage::block(env, index) {
        return (index, block);
    }
    let block = farm_block.opened(env);
    let next = if over || index > 0 { index + 1 } else { index };
    if over {
        *farm_block = Block::unseen(env);
    }
    if next != index {
        storage::set_farm_index(env, next);
    }
    (next, block)
}

/// A range's width for scoring, at least 1.
///
/// # Errors
/// [`Error::BlockInvalid`] when `max` is below `min`.
pub fn width(min: i128, max: i128) -> Result<i128, Error> {
    if max < min {
        return Err(Error::BlockInvalid);
    }
    Ok((max - min).max(1))
}
