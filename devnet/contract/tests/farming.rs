//! What the recorded trace does not reach: hashes, decay, expiry, and the life of the farm itself.

mod common;

use common::{Build, MAX_TTL, World};
use kale_farm::{Error, WEEK_LEDGERS, base_reward};
use soroban_sdk::{
    BytesN,
    testutils::storage::{Instance as _, Temporary as _},
    testutils::{Deployer as _, Ledger as _},
};

const TEMPORARY_TTL: u32 = 720;

fn world() -> World {
    World::new(Build::Wasm, 1_000, 100, TEMPORARY_TTL)
}

#[test]
fn hash_must_belong_to_block_nonce_and_farmer() {
    let world = world();
    let (first, second) = (&world.farmers[0], &world.farmers[1]);
    world.farm.plant(first, &0);
    world.farm.plant(second, &0);
    let (hash, nonce) = world.search(first, 2);
    assert_eq!(world.farm.try_work(first, &hash, &nonce), Err(Ok(Error::GapCountTooLow)));
    world.pass(3);
    assert_eq!(world.farm.try_work(first, &hash, &(nonce + 1)), Err(Ok(Error::HashInvalid)));
    assert_eq!(world.farm.try_work(second, &hash, &nonce), Err(Ok(Error::HashInvalid)));
    let zero = BytesN::from_array(&world.env, &[0; 32]);
    assert_eq!(world.farm.try_work(first, &zero, &nonce), Err(Ok(Error::HashInvalid)));
    assert_eq!(world.farm.work(first, &hash, &nonce), 3);
    assert_eq!(world.farm.try_work(first, &hash, &nonce), Err(Ok(Error::ZeroCountTooLow)));
    let pail = world.pail(first, 0).expect("planted");
    assert_eq!((pail.sequence, pail.gap, pail.stake, pail.zeros), (100, Some(3), 0, Some(2)));
}

#[test]
fn last_hash_of_a_block_is_the_next_ones_entropy() {
    let world = world();
    let farmer = &world.farmers[0];
    world.farm.plant(farmer, &0);
    assert_eq!(world.block(0).expect("open").entropy.to_array(), [0; 32]);
    world.pass(1);
    let (hash, nonce) = world.search(farmer, 1);
    world.farm.work(farmer, &hash, &nonce);
    world.pass(59);
    world.farm.plant(farmer, &0);
    assert_eq!(world.index(), 1);
    assert_eq!(world.block(1).expect("open").entropy, hash);
    assert_eq!(world.farm_block().entropy.to_array(), [0; 32]);
}

#[test]
fn stake_that_is_not_there_cannot_be_planted() {
    let world = world();
    let farmer = &world.farmers[0];
    assert!(world.farm.try_plant(farmer, &(common::START_BALANCE + 1)).is_err());
    assert_eq!(world.pail(farmer, 0), None);
    world.farm.plant(farmer, &common::START_BALANCE);
    assert_eq!(world.token.balance(farmer), 0);
}

#[test]
fn harvest_after_expiry_finds_nothing() {
    let world = world();
    let farmer = &world.farmers[0];
    world.farm.plant(farmer, &9);
    world.inside(|env| {
        let block = env.storage().temporary().get_ttl(&kale_farm::DataKey::Block(0));
        assert_eq!(block, TEMPORARY_TTL - 1);
    });
    world.pass(TEMPORARY_TTL);
    assert_eq!(world.farm.try_harvest(farmer, &0), Err(Ok(Error::BlockMissing)));
}

#[test]
fn lost_block_is_replaced_at_the_next_index_without_a_fresh_start() {
    let world = world();
    let farmer = &world.farmers[0];
    world.farm.plant(farmer, &9);
    world.at(200, 1_400);
    world.farm.plant(farmer, &4);
    let seen = world.farm_block();
    world.farm.remove_block(&1);
    world.at(210, 1_450);
    world.farm.plant(&world.farmers[1], &6);
    assert_eq!(world.index(), 2);
    let block = world.block(2).expect("open");
    assert_eq!((block.timestamp, block.min_stake, block.max_stake, block.staked_total), (1_450, 4, 4, 6));
    assert_eq!(world.farm_block().timestamp, seen.timestamp);
    assert_eq!((world.farm_block().min_stake, world.farm_block().max_stake), (4, 6));
}

#[test]
fn instance_and_code_live_as_long_as_possible_once_a_week_is_used_up() {
    let world = world();
    let lives = || (world.inside(|env| env.storage().instance().get_ttl()), code_life(&world));
    world.env.ledger().set_min_persistent_entry_ttl(1);
    assert_eq!(lives(), (MAX_TTL - 1, MAX_TTL - 1));
    world.pass(WEEK_LEDGERS - 1);
    world.farm.plant(&world.farmers[0], &0);
    let before_due = MAX_TTL - WEEK_LEDGERS;
    assert_eq!(lives(), (before_due, before_due));
    world.pass(1);
    world.farm.plant(&world.farmers[1], &0);
    assert_eq!(lives(), (MAX_TTL - 1, MAX_TTL - 1));
}

fn code_life(world: &World) -> u32 {
    world.env.deployer().get_contract_code_ttl(&world.farm.address)
}

#[test]
fn base_reward_decays_by_a_twentieth_every_30_days() {
    assert_eq!(base_reward(0), 25_050_000_000);
    assert_eq!(base_reward(30_558 + 8_639), 25_050_000_000);
    assert_eq!(base_reward(30_558 + 8_640), 23_797_500_000);
    assert_eq!(base_reward(30_558 + 2 * 8_640), 22_607_625_000);
    assert_eq!(base_reward(u32::MAX), 0);
}
