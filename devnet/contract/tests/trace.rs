//! Replays operations recorded from the farm on a public network: every result and every state must agree.

mod common;

use common::{Build, World};
use kale_farm::Block;
use soroban_sdk::{Address, InvokeError};

const TRACE: &str = include_str!("../../../tests/vectors/farm_trace.txt");
/// Long enough that no block of the trace expires.
const FOREVER: u32 = 1_000_000;

#[test]
fn native_contract_follows_the_trace() {
    assert_eq!(replay(Build::Native), 1310);
}

#[test]
fn committed_wasm_follows_the_trace() {
    assert_eq!(replay(Build::Wasm), 1310);
}

/// Runs every operation of the trace; returns how many there were.
fn replay(build: Build) -> usize {
    let mut world = None;
    let mut operations = 0;
    for (number, line) in TRACE.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["SEED", _, time, sequence] => {
                world = Some(World::new(build, parse(time), parse(sequence), FOREVER));
            }
            ["OP", sequence, time, name, farmer, argument, result, state] => {
                let world = world.as_ref().expect("a seed comes first");
                world.at(parse(sequence), parse(time));
                let farmer = &world.farmers[parse::<usize>(farmer)];
                let seen = (run(world, name, farmer, argument), describe(world, farmer));
                assert_eq!(seen, (result.into(), state.into()), "{build:?}, line {}: {line}", number + 1);
                operations += 1;
            }
            _ => panic!("line {} is neither a seed nor an operation", number + 1),
        }
    }
    operations
}

fn run(world: &World, name: &str, farmer: &Address, argument: &str) -> String {
    match name {
        "plant" => outcome(world.farm.try_plant(farmer, &parse(argument)), |()| String::new()),
        "work" => {
            let (hash, nonce) = world.search(farmer, parse(argument));
            outcome(world.farm.try_work(farmer, &hash, &nonce), |gap| gap.to_string())
        }
        "harvest" => outcome(world.farm.try_harvest(farmer, &parse(argument)), |reward| reward.to_string()),
        _ => panic!("unknown operation {name}"),
    }
}

/// `ok` with the value, or `e` with the contract's error number.
fn outcome<T, C: std::fmt::Debug>(
    result: Result<Result<T, C>, Result<kale_farm::Error, InvokeError>>,
    show: impl FnOnce(T) -> String,
) -> String {
    match result {
        Ok(value) => format!("ok{}", show(value.expect("the value has its type"))),
        Err(Ok(error)) => format!("e{}", error as u32),
        Err(Err(error)) => panic!("not an error of the farm: {error:?}"),
    }
}

fn describe(world: &World, farmer: &Address) -> String {
    let index = world.index();
    let block = world.block(index).as_ref().map_or("-".into(), numbers);
    format!("{index}|{}|{block}|{}", numbers(&world.farm_block()), world.token.balance(farmer))
}

fn numbers(block: &Block) -> String {
    let Block { timestamp, min_gap, min_stake, min_zeros, max_gap, max_stake, max_zeros, .. } = block;
    let (staked, normalized) = (block.staked_total, block.normalized_total);
    format!("{timestamp},{min_gap},{min_stake},{min_zeros},{max_gap},{max_stake},{max_zeros},{staked},{normalized}")
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
    word.parse().expect("a number")
}
