use soroban_sdk::{Address, Env, contracttype};

use crate::{Block, Error, Pail};

/// Ledgers in a week, at five seconds a ledger.
pub const WEEK_LEDGERS: u32 = 7 * 24 * 60 * 60 / 5;

/// Keys of the farm's entries.
#[contracttype]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DataKey {
    /// Administrator (instance).
    Homesteader,
    /// Token contract (instance).
    HomesteadAsset,
    /// Index of the current block; absent while it is 0 (instance).
    FarmIndex,
    /// What the farm has seen since it last opened a block (instance).
    FarmBlock,
    /// Whether plants are refused; absent until the first pause (instance).
    FarmPaused,
    /// A block by its index (temporary).
    Block(u32),
    /// A farmer's pail in a block (temporary).
    Pail(Address, u32),
}

/// The administrator, if the farm has been founded.
pub fn homesteader(env: &Env) -> Option<Address> {
    env.storage().instance().get(&DataKey::Homesteader)
}

/// Records who founded the farm and which token it uses.
pub fn set_homestead(env: &Env, homesteader: &Address, asset: &Address) {
    env.storage().instance().set(&DataKey::Homesteader, homesteader);
    env.storage().instance().set(&DataKey::HomesteadAsset, asset);
}

/// The token contract.
pub fn asset(env: &Env) -> Result<Address, Error> {
    env.storage().instance().get(&DataKey::HomesteadAsset).ok_or(Error::HomesteadMissing)
}

/// Index of the current block.
pub fn farm_index(env: &Env) -> u32 {
    env.storage().instance().get(&DataKey::FarmIndex).unwrap_or(0)
}

/// Sets the index of the current block.
pub fn set_farm_index(env: &Env, index: u32) {
    env.storage().instance().set(&DataKey::FarmIndex, &index);
}

/// What the farm has seen since it last opened a block.
pub fn farm_block(env: &Env) -> Result<Block, Error> {
    env.storage().instance().get(&DataKey::FarmBlock).ok_or(Error::FarmBlockMissing)
}

/// Stores what the farm has seen.
pub fn set_farm_block(env: &Env, block: &Block) {
    env.storage().instance().set(&DataKey::FarmBlock, block);
}

/// Whether plants are refused.
pub fn is_paused(env: &Env) -> bool {
    env.storage().instance().get(&DataKey::FarmPaused).unwrap_or(false)
}

/// Sets whether plants are refused.
pub fn set_paused(env: &Env, paused: bool) {
    env.storage().instance().set(&DataKey::FarmPaused, &paused);
}

/// The block `index`, unless it never was, was removed or has expired.
pub fn block(env: &Env, index: u32) -> Option<Block> {
    env.storage().temporary().get(&DataKey::Block(index))
}

/// Stores the block `index`.
pub fn set_block(env: &Env, index: u32, block: &Block) {
    env.storage().temporary().set(&DataKey::Block(index), block);
}

/// Deletes the block `index`.
pub fn remove_block(env: &Env, index: u32) {
    env.storage().temporary().remove(&DataKey::Block(index));
}

/// The farmer's pail in block `index`, unless there is none or it has expired.
pub fn pail(env: &Env, farmer: &Address, index: u32) -> Option<Pail> {
    env.storage().temporary().get(&DataKey::Pail(farmer.clone(), index))
}

/// Whether the farmer has a pail in block `index`.
pub fn has_pail(env: &Env, farmer: &Address, index: u32) -> bool {
    env.storage().temporary().has(&DataKey::Pail(farmer.clone(), index))
}

/// Stores the farmer's pail in block `index`.
pub fn set_pail(env: &Env, farmer: &Address, index: u32, pail: &Pail) {
    env.storage().temporary().set(&DataKey::Pail(farmer.clone(), index), pail);
}

/// Deletes the farmer's pail in block `index`.
pub fn remove_pail(env: &Env, farmer: &Address, index: u32) {
    env.storage().temporary().remove(&DataKey::Pail(farmer.clone(), index));
}

/// Gives instance and code the longest life there is, once a week of it is used up.
pub fn extend_life(env: &Env) {
    let longest = env.storage().max_ttl();
    env.storage().instance().extend_ttl(longest.saturating_sub(WEEK_LEDGERS), longest);
}
