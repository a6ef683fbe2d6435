//! What only the homesteader may do.

mod common;

use common::{Build, World};
use kale_farm::Error;
use soroban_sdk::{BytesN, IntoVal as _, testutils::MockAuth, testutils::MockAuthInvoke};

fn world() -> World {
    World::new(Build::Wasm, 1_000, 100, 1_000)
}

#[test]
fn pause_refuses_plants_but_neither_works_nor_harvests() {
    let world = world();
    let (first, second) = (&world.farmers[0], &world.farmers[1]);
    world.farm.plant(first, &5);
    world.pass(1);
    world.farm.pause();
    assert_eq!(world.farm.try_plant(second, &0), Err(Ok(Error::FarmPaused)));
    assert_eq!(world.farm.try_plant(second, &-1), Err(Ok(Error::PlantAmountTooLow)));
    assert_eq!(world.farm.try_pause(), Err(Ok(Error::FarmPaused)));
    let (hash, nonce) = world.search(first, 1);
    assert_eq!(world.farm.work(first, &hash, &nonce), 1);
    world.farm.unpause();
    assert_eq!(world.farm.try_unpause(), Err(Ok(Error::FarmNotPaused)));
    world.pass(60);
    world.farm.plant(second, &0);
    world.farm.pause();
    assert!(world.farm.harvest(first, &0) > 0);
}

#[test]
fn removed_block_can_neither_be_worked_nor_harvested() {
    let world = world();
    let farmer = &world.farmers[0];
    world.farm.plant(farmer, &0);
    world.pass(1);
    let (hash, nonce) = world.search(farmer, 0);
    world.farm.remove_block(&0);
    assert_eq!(world.farm.try_work(farmer, &hash, &nonce), Err(Ok(Error::BlockMissing)));
    assert_eq!(world.farm.try_harvest(farmer, &0), Err(Ok(Error::BlockMissing)));
    assert_eq!(world.farm.try_remove_block(&0), Err(Ok(Error::BlockMissing)));
}

#[test]
fn upgrade_replaces_the_code() {
    let world = world();
    let hash = world.env.deployer().upload_contract_wasm(common::WASM);
    world.farm.upgrade(&hash);
    let unknown = BytesN::from_array(&world.env, &[1; 32]);
    assert!(world.farm.try_upgrade(&unknown).is_err());
}

#[test]
fn administration_is_refused_to_everybody_else() {
    let world = world();
    let stranger = &world.farmers[0];
    let invoke = MockAuthInvoke {
        contract: &world.farm.address,
        fn_name: "pause",
        args: ().into_val(&world.env),
        sub_invokes: &[],
    };
    world.env.mock_auths(&[MockAuth { address: stranger, invoke: &invoke }]);
    assert!(world.farm.try_pause().is_err());
    world.env.mock_auths(&[MockAuth { address: &world.homesteader, invoke: &invoke }]);
    world.farm.pause();
    assert!(world.farm.try_unpause().is_err());
    assert!(world.farm.try_remove_block(&0).is_err());
}

#[test]
fn planting_needs_the_farmers_authorisation_working_and_harvesting_nobodys() {
    let world = world();
    let farmer = &world.farmers[0];
    world.farm.plant(farmer, &7);
    world.pass(1);
    let (hash, nonce) = world.search(farmer, 1);
    world.env.set_auths(&[]);
    assert!(world.farm.try_plant(&world.farmers[1], &0).is_err());
    assert_eq!(world.farm.work(farmer, &hash, &nonce), 1);
    world.pass(60);
    world.env.mock_all_auths();
    world.farm.plant(&world.farmers[1], &0);
    world.env.set_auths(&[]);
    let reward = world.farm.harvest(farmer, &0);
    assert_eq!(world.token.balance(farmer), common::START_BALANCE + reward);
}
