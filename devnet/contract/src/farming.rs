use soroban_sdk::{
    Address, BytesN, Env, contracttype,
    token::{StellarAssetClient, TokenClient},
};

use crate::{Error, block, proof, reward, score::score, storage};

/// What one farmer has in one block.
#[contracttype]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pail {
    /// The ledger it was planted in.
    pub sequence: u32,
    /// Ledgers from planting to the last accepted work; none before the first.
    pub gap: Option<u32>,
    /// Burned when planted, in stroops.
    pub stake: i128,
    /// Leading zero nibbles of the last accepted hash; none before the first.
    pub zeros: Option<u32>,
}

/// See [`crate::Farm::plant`].
pub fn plant(env: &Env, farmer: &Address, amount: i128) -> Result<(), Error> {
    farmer.require_auth();
    if amount < 0 {
        return Err(Error::PlantAmountTooLow);
    }
    if storage::is_paused(env) {
        return Err(Error::FarmPaused);
    }
    let mut farm_block = storage::farm_block(env)?;
    let (index, mut block) = block::current(env, &mut farm_block);
    if storage::has_pail(env, farmer, index) {
        return Err(Error::PailExists);
    }
    if amount > 0 {
        TokenClient::new(env, &storage::asset(env)?).burn(farmer, &amount);
    }
    let pail = Pail { sequence: env.ledger().sequence(), gap: None, stake: amount, zeros: None };
    storage::set_pail(env, farmer, index, &pail);
    block.staked_total += amount;
    storage::set_block(env, index, &block);
    farm_block.see_stake(amount);
    storage::set_farm_block(env, &farm_block);
    storage::extend_life(env);
    Ok(())
}

/// See [`crate::Farm::work`].
pub fn work(env: &Env, farmer: &Address, hash: &BytesN<32>, nonce: u64) -> Result<u32, Error> {
    let mut farm_block = storage::farm_block(env)?;
    let index = storage::farm_index(env);
    let mut block = storage::block(env, index).ok_or(Error::BlockMissing)?;
    let mut pail = storage::pail(env, farmer, index).ok_or(Error::PailMissing)?;
    let gap = env.ledger().sequence().saturating_sub(pail.sequence);
    if gap == 0 {
        return Err(Error::GapCountTooLow);
    }
    if *hash != proof::work_hash(env, index, nonce, &block.entropy, farmer) {
        return Err(Error::HashInvalid);
    }
    let zeros = proof::count_zeros(hash);
    match pail.zeros {
        Some(earlier) if zeros <= earlier => return Err(Error::ZeroCountTooLow),
        // The farm on the public networks values the earlier hash at the new gap, and so does this one.
        Some(earlier) => block.normalized_total -= score(&block, gap, pail.stake, earlier)?,
        None => block.staked_total -= pail.stake,
    }
    block.normalized_total += score(&block, gap, pail.stake, zeros)?;
    storage::set_block(env, index, &block);
    pail.gap = Some(gap);
    pail.zeros = Some(zeros);
    storage::set_pail(env, farmer, index, &pail);
    farm_block.see_work(gap, zeros, hash);
    storage::set_farm_block(env, &farm_block);
    storage::extend_life(env);
    Ok(gap)
}

/// See [`crate::Farm::harvest`].
pub fn harvest(env: &Env, farmer: &Address, index: u32) -> Result<i128, Error> {
    let block = storage::block(env, index).ok_or(Error::BlockMissing)?;
    let pail = storage::pail(env, farmer, index).ok_or(Error::PailMissing)?;
    if index >= storage::farm_index(env) {
        return Err(Error::HarvestNotReady);
    }
    let (Some(gap), Some(zeros)) = (pail.gap, pail.zeros) else {
        return Err(Error::WorkMissing);
    };
    let sum = score(&block, gap, pail.stake, zeros)?;
    let reward = reward::reward(index, sum, block.staked_total, block.normalized_total);
    storage::remove_pail(env, farmer, index);
    StellarAssetClient::new(env, &storage::asset(env)?).mint(farmer, &(reward + pail.stake));
    storage::extend_life(env);
    Ok(reward)
}
