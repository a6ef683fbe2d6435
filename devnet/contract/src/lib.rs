//! A KALE farm: farmers plant a stake in a block, work it with a hash of many leading zeros, and harvest once the
//! next block has opened.
//!
//! It behaves as the farm on the public networks does, error for error, so that a pool tested against it meets
//! nothing new there: `tests/trace.rs` replays operations recorded from that farm. It keeps that farm's known
//! peculiarity too: a repeated work takes back the earlier hash's share at the new gap (see [`score`]).
#![no_std]

mod admin;
mod block;
mod errors;
mod farming;
mod proof;
mod reward;
mod score;
mod storage;

pub use block::{BLOCK_SECONDS, Block};
pub use errors::Error;
pub use farming::Pail;
pub use reward::base_reward;
pub use storage::{DataKey, WEEK_LEDGERS};

use soroban_sdk::{Address, BytesN, Env, contract, contractimpl};

/// The farm. `homesteader` is its administrator, `asset` the token it burns stakes of and mints rewards in.
#[contract]
pub struct Farm;

#[contractimpl]
impl Farm {
    /// Founds the farm; needs the homesteader's authorisation.
    ///
    /// # Errors
    /// [`Error::HomesteadExists`] when the farm has been founded already.
    pub fn __constructor(env: Env, homesteader: Address, asset: Address) -> Result<(), Error> {
        admin::found(&env, &homesteader, &asset)
    }

    /// Burns `amount` stroops of the farmer's KALE as its stake in the current block, opening the next one when due.
    ///
    /// # Errors
    /// In this order: [`Error::PlantAmountTooLow`], [`Error::FarmPaused`], [`Error::FarmBlockMissing`],
    /// [`Error::PailExists`]; or the token's, when the stake cannot be burned.
    pub fn plant(env: Env, farmer: Address, amount: i128) -> Result<(), Error> {
        farming::plant(&env, &farmer, amount)
    }

    /// Records a hash for the farmer's pail in the current block and returns its gap: ledgers since it was planted.
    ///
    /// # Errors
    /// In this order: [`Error::FarmBlockMissing`], [`Error::BlockMissing`], [`Error::PailMissing`],
    /// [`Error::GapCountTooLow`], [`Error::HashInvalid`], [`Error::ZeroCountTooLow`].
    pub fn work(env: Env, farmer: Address, hash: BytesN<32>, nonce: u64) -> Result<u32, Error> {
        farming::work(&env, &farmer, &hash, nonce)
    }

    /// Mints stake and reward of the farmer's pail in a past block to the farmer; returns the reward in stroops.
    ///
    /// # Errors
    /// In this order: [`Error::BlockMissing`], [`Error::PailMissing`], [`Error::HarvestNotReady`],
    /// [`Error::WorkMissing`]; or the token's, when the farmer cannot hold it.
    pub fn harvest(env: Env, farmer: Address, index: u32) -> Result<i128, Error> {
        farming::harvest(&env, &farmer, index)
    }

    /// Refuses plants until [`Farm::unpause`]; works and harvests go on. Homesteader only.
    ///
    /// # Errors
    /// [`Error::HomesteadMissing`], [`Error::FarmPaused`].
    pub fn pause(env: Env) -> Result<(), Error> {
        admin::pause(&env)
    }

    /// Lets plants in again. Homesteader only.
    ///
    /// # Errors
    /// [`Error::HomesteadMissing`], [`Error::FarmNotPaused`].
    pub fn unpause(env: Env) -> Result<(), Error> {
        admin::unpause(&env)
    }

    /// Replaces the farm's code by an uploaded one. Homesteader only.
    ///
    /// # Errors
    /// [`Error::HomesteadMissing`].
    pub fn upgrade(env: Env, hash: BytesN<32>) -> Result<(), Error> {
        admin::upgrade(&env, hash)
    }

    /// Deletes a block: its pails can no longer be worked or harvested. Homesteader only.
    ///
    /// # Errors
    /// [`Error::HomesteadMissing`], [`Error::BlockMissing`].
    pub fn remove_block(env: Env, index: u32) -> Result<(), Error> {
        admin::remove_block(&env, index)
    }
}
