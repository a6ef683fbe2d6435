/// Reward of a block before decay: 501 * 5 KALE, in stroops.
const FULL_REWARD: i128 = 501 * 5 * 10_000_000;
/// The last block with the full reward.
const DECAY_START: u32 = 30_558;
/// Blocks between two decays: 30 days of five minutes.
const DECAY_BLOCKS: u32 = 8_640;
/// Fixed-point one of the decay.
const ONE: i128 = 1_000_000_000_000;
/// What a decay leaves, of `ONE`.
const KEPT: i128 = 950_000_000_000;

/// What the block `index` pays to its farmers, in stroops: 5 % less for every 8,640 full blocks after block 30,558.
pub fn base_reward(index: u32) -> i128 {
    let decays = index.saturating_sub(DECAY_START) / DECAY_BLOCKS;
    let mut rate = ONE;
    for _ in 0..decays {
        if rate == 0 {
            break;
        }
        rate = rate * KEPT / ONE;
    }
    FULL_REWARD * rate / ONE
}

/// A worked pail's reward in stroops: `score` parts in `normalized_total` of the block's base reward and forfeited stakes.
pub fn reward(index: u32, score: i128, staked_total: i128, normalized_total: i128) -> i128 {
    score * (base_reward(index) + staked_total) / normalized_total.max(1)
}
