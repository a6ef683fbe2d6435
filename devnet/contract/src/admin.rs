use soroban_sdk::{Address, BytesN, ContractExecutable, Env};

use crate::{Block, Error, storage};

/// See [`crate::Farm::__constructor`].
pub fn found(env: &Env, homesteader: &Address, asset: &Address) -> Result<(), Error> {
    if storage::homesteader(env).is_some() {
        return Err(Error::HomesteadExists);
    }
    homesteader.require_auth();
    storage::set_homestead(env, homesteader, asset);
    storage::set_farm_block(env, &Block::unseen(env));
    storage::extend_life(env);
    Ok(())
}

/// See [`crate::Farm::pause`].
pub fn pause(env: &Env) -> Result<(), Error> {
    authorise(env)?;
    if storage::is_paused(env) {
        return Err(Error::FarmPaused);
    }
    storage::set_paused(env, true);
    Ok(())
}

/// See [`crate::Farm::unpause`].
pub fn unpause(env: &Env) -> Result<(), Error> {
    authorise(env)?;
    if !storage::is_paused(env) {
        return Err(Error::FarmNotPaused);
    }
    storage::set_paused(env, false);
    Ok(())
}

/// See [`crate::Farm::upgrade`].
pub fn upgrade(env: &Env, hash: BytesN<32>) -> Result<(), Error> {
    authorise(env)?;
    env.deployer().update_current_contract(ContractExecutable::Wasm(hash));
    Ok(())
}

/// See [`crate::Farm::remove_block`].
pub fn remove_block(env: &Env, index: u32) -> Result<(), Error> {
    authorise(env)?;
    if storage::block(env, index).is_none() {
        return Err(Error::BlockMissing);
    }
    storage::remove_block(env, index);
    Ok(())
}

/// Requires the homesteader's authorisation.
fn authorise(env: &Env) -> Result<(), Error> {
    storage::homesteader(env).ok_or(Error::HomesteadMissing)?.require_auth();
    Ok(())
}
