//! Contract calls: the built-in asset contract and the farm.

use crate::support::{
    Builder, Key, World, XLM, assert_success, asset, call, code, decode, failed_operations, fee_charged, host_function,
    int128, operation, pay_asset, trust,
};
use kale_devnet_engine::{ClosedTransaction, Status};
use sha2::{Digest, Sha256};
use stellar_xdr::{
    ContractEventBody, ContractExecutable, ContractId, ContractIdPreimage, ContractIdPreimageFromAddress,
    CreateContractArgsV2, DiagnosticEvent, Hash, HostFunction, InvokeHostFunctionResult, Memo, MuxedAccount,
    MuxedAccountMed25519, OperationResult, OperationResultTr, ScAddress, ScError, ScVal, SorobanAuthorizationEntry,
    SorobanCredentials, SorobanTransactionMetaExt, TransactionResultResult as Code, Uint256,
};

const FARM_WASM: &[u8] = include_bytes!("../../../contract/kale_farm.wasm");

/// Alice holds 1,000 stroops of the issuer's asset, whose contract is deployed.
fn asset_world() -> (World, Key, Key, ContractId) {
    let (issuer, alice) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&issuer, &alice]);
    world.succeed(&alice, operation(trust(&issuer, i64::MAX)));
    world.succeed(&issuer, pay_asset(&alice, asset(&issuer), 1000));
    let contract = world.deploy_asset(&issuer);
    (world, issuer, alice, contract)
}

fn transfer(contract: &ContractId, from: &Key, to: &Key, amount: u64) -> stellar_xdr::Operation {
    call(contract, "transfer", vec![from.address(), to.address(), int128(amount)])
}

fn trapped() -> OperationResult {
    OperationResult::OpInner(OperationResultTr::InvokeHostFunction(InvokeHostFunctionResult::Trapped))
}

/// A farm that may mint the asset, and the farm's id.
fn farm_world() -> (World, Key, Key, ContractId) {
    let (mut world, issuer, alice, token) = asset_world();
    world.invoke(&issuer, host_function(HostFunction::UploadContractWasm(FARM_WASM.to_vec().try_into().unwrap())));
    let wasm_hash = Hash(Sha256::digest(FARM_WASM).into());
    let from_address =
        ContractIdPreimageFromAddress { address: ScAddress::Account(issuer.id()), salt: Uint256([0; 32]) };
    let deploy = host_function(HostFunction::CreateContractV2(CreateContractArgsV2 {
        contract_id_preimage: ContractIdPreimage::Address(from_address),
        executable: ContractExecutable::Wasm(wasm_hash),
        constructor_args: vec![issuer.address(), ScVal::Address(ScAddress::Contract(token.clone()))]
            .try_into()
            .unwrap(),
    }));
    let closed = world.invoke(&issuer, deploy);
    let Some(ScVal::Address(ScAddress::Contract(farm))) = return_value(&closed) else { panic!("no address") };
    let set_admin = vec![ScVal::Address(ScAddress::Contract(farm.clone()))];
    world.invoke(&issuer, call(&token, "set_admin", set_admin));
    (world, issuer, alice, farm)
}

fn return_value(closed: &ClosedTransaction) -> Option<ScVal> {
    closed.meta().unwrap().soroban_meta.clone().unwrap().return_value
}

fn plant(farm: &ContractId, farmer: &Key, stake: u64) -> stellar_xdr::Operation {
    call(farm, "plant", vec![farmer.address(), int128(stake)])
}

/// Ids of contracts that reported an error, with its code.
fn contract_errors(events: &[DiagnosticEvent]) -> Vec<(Option<ContractId>, u32)> {
    let errors = events.iter().filter_map(|diagnostic| {
        let ContractEventBody::V0(body) = &diagnostic.event.body;
        body.topics.iter().find_map(|topic| match topic {
            ScVal::Error(ScError::Contract(code)) => Some((diagnostic.event.contract_id.clone(), *code)),
            _ => None,
        })
    });
    errors.collect()
}

#[test]
fn the_asset_contract_moves_credit_and_says_so() {
    let (mut world, issuer, alice, contract) = asset_world();
    let closed = world.invoke(&alice, transfer(&contract, &alice, &issuer, 300));
    assert_eq!(world.trustline(&alice, &issuer).unwrap().balance, 700);
    assert_eq!(return_value(&closed), Some(ScVal::Void));
    let events = &closed.meta().unwrap().operations[0].events;
    assert_eq!(events[0].contract_id, Some(contract));
}

#[test]
fn unused_fees_go_back_and_the_records_say_how_much() {
    let (mut world, issuer, alice, contract) = asset_world();
    let before = world.balance(&alice);
    let builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    let declared = builder.data().resource_fee;
    let closed = world.apply(&builder.sign(&[&alice]));
    assert_eq!(before - world.balance(&alice), fee_charged(&closed));
    let meta = closed.meta().unwrap().soroban_meta.clone().unwrap();
    let SorobanTransactionMetaExt::V1(fees) = meta.ext else { panic!("no fees") };
    let used = fees.total_non_refundable_resource_fee_charged + fees.total_refundable_resource_fee_charged;
    assert_eq!(fee_charged(&closed), used + 100);
    assert!(used < declared);
    assert_eq!(closed.record.post_tx_apply_fee_processing.0.len(), 2);
}

#[test]
fn a_failed_call_names_the_contract_that_failed_and_refunds_what_can_be() {
    let (mut world, issuer, alice, contract) = asset_world();
    let mut builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1000));
    world.succeed(&issuer, crate::support::pay(&alice, XLM));
    let envelope = world.transaction(&alice, vec![pay_asset(&issuer, asset(&issuer), 500)]).sign(&[&alice]);
    assert_success(&world.apply(&envelope));
    builder = builder.sequence(world.account(&alice).unwrap().seq_num.0 + 1);
    let closed = world.apply(&builder.sign(&[&alice]));
    assert_eq!(failed_operations(&closed), [trapped()]);
    let meta = closed.meta().unwrap();
    assert!(contract_errors(&meta.diagnostic_events).contains(&(Some(contract), 10)), "balance error of the token");
    assert!(meta.operations.is_empty());
    let soroban = meta.soroban_meta.clone().unwrap();
    assert_eq!(soroban.return_value, None);
    let SorobanTransactionMetaExt::V1(fees) = soroban.ext else { panic!("no fees") };
    assert_eq!(fees.total_refundable_resource_fee_charged, 0);
    assert_eq!(fee_charged(&closed), fees.total_non_refundable_resource_fee_charged + 100);
}

#[test]
fn an_invocation_must_have_neither_memo_nor_muxed_source() {
    let (mut world, issuer, alice, contract) = asset_world();
    let builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    let mut with_memo = builder.clone();
    with_memo.0.memo = Memo::Id(7);
    assert_eq!(world.refused(&with_memo.sign(&[&alice])), Code::TxSorobanInvalid);
    let mut muxed = builder;
    muxed.0.source_account = MuxedAccount::MuxedEd25519(MuxedAccountMed25519 { id: 7, ed25519: alice.public() });
    assert_eq!(world.refused(&muxed.sign(&[&alice])), Code::TxSorobanInvalid);
}

#[test]
fn a_resource_fee_that_is_too_low_is_refused_in_words() {
    let (mut world, issuer, alice, contract) = asset_world();
    let mut builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    builder.data_mut().resource_fee = 10;
    let submission = world.submit(&builder.sign(&[&alice]));
    assert_eq!(submission.error.unwrap().result, Code::TxSorobanInvalid);
    let ContractEventBody::V0(body) = &submission.diagnostics[0].event.body;
    assert!(format!("{:?}", body.data).contains("lower than the needed"), "{:?}", body.data);
}

#[test]
fn a_fee_below_the_resource_fee_is_valid_only_inside_a_fee_bump() {
    let (mut world, issuer, alice, contract) = asset_world();
    let builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1)).fee(100);
    let resource_fee = builder.data().resource_fee;
    assert_eq!(world.refused(&builder.clone().sign(&[&alice])), Code::TxSorobanInvalid);
    let before = world.balance(&alice);
    let closed = world.apply(&builder.bump(&[&alice], &issuer, resource_fee + 200));
    assert!(matches!(code(&closed), Code::TxFeeBumpInnerSuccess(_)));
    assert_eq!(world.balance(&alice), before);
}

#[test]
fn a_call_alone_in_its_transaction_declares_its_resources() {
    let (mut world, issuer, alice, contract) = asset_world();
    let mut without = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    without.0.ext = stellar_xdr::TransactionExt::V0;
    assert_eq!(world.refused(&without.sign(&[&alice])), Code::TxMalformed);
    let mut two = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    let one = two.0.operations[0].clone();
    two.0.operations = vec![one.clone(), one].try_into().unwrap();
    assert_eq!(world.refused(&two.sign(&[&alice])), Code::TxMalformed);
}

#[test]
fn an_access_outside_the_footprint_traps() {
    let (mut world, issuer, alice, contract) = asset_world();
    let mut builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    builder.data_mut().resources.footprint.read_write = stellar_xdr::VecM::default();
    assert_eq!(failed_operations(&world.apply(&builder.sign(&[&alice]))), [trapped()]);
}

#[test]
fn too_few_instructions_exceed_the_limit() {
    let (mut world, issuer, alice, contract) = asset_world();
    let mut builder = world.prepared(&alice, transfer(&contract, &alice, &issuer, 1));
    builder.data_mut().resources.instructions /= 2;
    let exceeded = OperationResult::OpInner(OperationResultTr::InvokeHostFunction(
        InvokeHostFunctionResult::ResourceLimitExceeded,
    ));
    assert_eq!(failed_operations(&world.apply(&builder.sign(&[&alice]))), [exceeded]);
}

#[test]
fn every_simulation_draws_new_authorisation_nonces() {
    let (world, issuer, alice, contract) = asset_world();
    let nonce = || {
        let builder = world.transaction(&issuer, vec![transfer(&contract, &alice, &issuer, 1)]);
        let answer = world.simulate(&builder.sign(&[]));
        let entry: SorobanAuthorizationEntry = decode(answer["results"][0]["auth"][0].as_str().unwrap());
        let SorobanCredentials::Address(credentials) = entry.credentials else { panic!("not signed by an address") };
        credentials.nonce
    };
    assert_ne!(nonce(), nonce());
}

#[test]
fn simulation_says_what_would_change_and_changes_nothing() {
    let (world, issuer, alice, contract) = asset_world();
    let envelope = world.transaction(&alice, vec![transfer(&contract, &alice, &issuer, 1)]).sign(&[]);
    let answer = world.simulate(&envelope);
    assert_eq!(answer["latestLedger"], world.engine.sequence());
    assert_eq!(answer["stateChanges"][0]["type"], "updated");
    assert_eq!(world.trustline(&alice, &issuer).unwrap().balance, 1000);
}

#[test]
fn simulation_refuses_what_it_can_not_do() {
    let (world, issuer, alice, contract) = asset_world();
    let classic = world.transaction(&alice, vec![crate::support::pay(&issuer, 1)]).sign(&[]);
    assert!(world.engine.simulate(&classic, None).unwrap_err().to_string().contains("not one of a contract"));
    let envelope = world.transaction(&alice, vec![transfer(&contract, &alice, &issuer, 1)]).sign(&[]);
    assert!(world.engine.simulate(&envelope, Some("guess")).unwrap_err().to_string().contains("guess"));
    let unsigned = world.engine.simulate(&envelope, Some("enforce")).unwrap();
    assert!(unsigned.contains("error"), "{unsigned}");
}

#[test]
fn a_farmer_plants_and_the_farm_refuses_work_in_the_same_ledger() {
    let (mut world, _, alice, farm) = farm_world();
    world.invoke(&alice, plant(&farm, &alice, 400));
    let hash = ScVal::Bytes(stellar_xdr::ScBytes(vec![0; 32].try_into().unwrap()));
    let work = call(&farm, "work", vec![alice.address(), hash, ScVal::U64(1)]);
    let answer = world.simulate(&world.transaction(&alice, vec![work]).sign(&[]));
    assert!(answer["error"].as_str().unwrap().contains("Error(Contract, #15)"), "{answer}");
}

#[test]
fn a_second_plant_is_the_farms_error_not_the_tokens() {
    let (mut world, _, alice, farm) = farm_world();
    let first = world.prepared(&alice, plant(&farm, &alice, 0));
    let next = first.0.seq_num.0 + 1;
    let second = first.clone().sequence(next);
    assert_success(&world.apply(&first.sign(&[&alice])));
    let closed = world.apply(&second.sign(&[&alice]));
    assert_eq!(failed_operations(&closed), [trapped()]);
    assert_eq!(contract_errors(&closed.meta().unwrap().diagnostic_events), [(Some(farm), 8)]);
}

#[test]
fn fifty_farmers_plant_in_one_ledger() {
    let (mut world, issuer, alice, farm) = farm_world();
    let farmers: Vec<Key> = (10..60).map(Key::new).collect();
    for batch in farmers.chunks(25) {
        let creations = batch.iter().map(|farmer| crate::support::create(farmer, 10 * XLM)).collect();
        let envelope = world.transaction(&issuer, creations).sign(&[&issuer]);
        assert_success(&world.apply(&envelope));
    }
    world.invoke(&alice, plant(&farm, &alice, 0));
    let envelopes: Vec<String> = farmers
        .iter()
        .map(|farmer| world.prepared(farmer, plant(&farm, farmer, 0)))
        .zip(&farmers)
        .map(|(builder, farmer): (Builder, &Key)| builder.sign(&[farmer]))
        .collect();
    for envelope in &envelopes {
        assert_eq!(world.submit(envelope).status, Status::Pending);
    }
    let closed = world.close();
    assert_eq!(closed.len(), 50);
    closed.iter().for_each(assert_success);
}

#[test]
fn a_ledgers_write_limit_leaves_the_rest_for_the_next() {
    let (mut world, issuer, alice, contract) = asset_world();
    let others: Vec<Key> = (10..13).map(Key::new).collect();
    for other in &others {
        world.succeed(&issuer, crate::support::create(other, 10 * XLM));
        world.succeed(other, operation(trust(&issuer, 100)));
        world.succeed(&issuer, pay_asset(other, asset(&issuer), 50));
    }
    for (other, fee) in others.iter().zip([300_000, 500_000, 400_000]) {
        let mut builder = world.prepared(other, transfer(&contract, other, &alice, 1));
        builder.data_mut().resources.write_bytes = 130_000;
        builder.data_mut().resource_fee += 200_000;
        let envelope = builder.fee(fee + 200_000).sign(&[other]);
        assert_eq!(world.submit(&envelope).status, Status::Pending);
    }
    let first: Vec<_> = world.close().iter().map(|closed| closed.transaction.source()).collect();
    assert_eq!(first, [others[1].id(), others[2].id()]);
    let second = world.close();
    assert_eq!(second[0].transaction.source(), others[0].id());
    assert_success(&second[0]);
}

#[test]
fn simulating_an_unknown_function_gives_an_error_in_the_answer() {
    let (world, _, alice, contract) = asset_world();
    let envelope = world.transaction(&alice, vec![call(&contract, "nothing", Vec::new())]).sign(&[]);
    assert!(world.simulate(&envelope)["error"].is_string());
}
