//! Signers, weights and thresholds.

use crate::support::{Key, World, XLM, assert_success, by, operation, pay};
use sha2::{Digest, Sha256};
use stellar_xdr::{
    DecoratedSignature, Operation, OperationBody, OperationResult, SetOptionsOp, Signature, SignatureHint, Signer,
    SignerKey, TransactionEnvelope, TransactionResultResult, Uint256,
};

fn set(options: SetOptionsOp) -> Operation {
    operation(OperationBody::SetOptions(options))
}

fn add(key: SignerKey, weight: u32) -> SetOptionsOp {
    SetOptionsOp { signer: Some(Signer { key, weight }), ..SetOptionsOp::default() }
}

/// Alice with master weight 1, Bob as a signer of weight 1, and thresholds 1, 2, 2.
fn shared_account() -> (World, Key, Key) {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice]);
    let options = SetOptionsOp {
        low_threshold: Some(1),
        med_threshold: Some(2),
        high_threshold: Some(2),
        ..add(SignerKey::Ed25519(bob.public()), 1)
    };
    world.succeed(&alice, set(options));
    (world, alice, bob)
}

#[test]
fn thresholds_need_enough_weight_together() {
    let (mut world, alice, bob) = shared_account();
    let payment = || vec![pay(&Key::new(1), XLM)];
    let alone = world.transaction(&alice, payment()).sign(&[&alice]);
    let TransactionResultResult::TxFailed(results) = world.refused(&alone) else { panic!("not refused as failed") };
    assert_eq!(results.as_slice(), [OperationResult::OpBadAuth]);
    let together = world.transaction(&alice, payment()).sign(&[&alice, &bob]);
    assert_success(&world.apply(&together));
}

#[test]
fn a_strangers_signature_is_not_enough_and_a_needless_one_too_many() {
    let (alice, stranger) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &stranger]);
    let wrong = world.transaction(&alice, vec![pay(&stranger, XLM)]).sign(&[&stranger]);
    assert_eq!(world.refused(&wrong), TransactionResultResult::TxBadAuth);
    let extra = world.transaction(&alice, vec![pay(&stranger, XLM)]).sign(&[&alice, &stranger]);
    assert_eq!(world.refused(&extra), TransactionResultResult::TxBadAuthExtra);
    let none = world.transaction(&alice, vec![pay(&stranger, XLM)]).sign(&[]);
    assert_eq!(world.refused(&none), TransactionResultResult::TxBadAuth);
}

#[test]
fn a_signature_for_another_network_is_wrong() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    let builder = world.transaction(&alice, vec![pay(&alice, XLM)]);
    let foreign = builder.0.hash([9; 32]).unwrap();
    let mut envelope = builder.signed(&[]);
    envelope.signatures = vec![alice.sign(&foreign)].try_into().unwrap();
    let text = kale_devnet_engine::encode_base64(&TransactionEnvelope::Tx(envelope));
    assert_eq!(world.refused(&text), TransactionResultResult::TxBadAuth);
}

#[test]
fn an_account_can_give_up_its_own_key() {
    let (mut world, alice, bob) = shared_account();
    let options = SetOptionsOp { master_weight: Some(0), med_threshold: Some(1), ..SetOptionsOp::default() };
    let envelope = world.transaction(&alice, vec![set(options)]).sign(&[&alice, &bob]);
    assert_success(&world.apply(&envelope));
    let old = world.transaction(&alice, vec![pay(&alice, 1)]).sign(&[&alice]);
    assert_eq!(world.refused(&old), TransactionResultResult::TxBadAuth);
    let new = world.transaction(&alice, vec![pay(&alice, 1)]).sign(&[&bob]);
    assert_success(&world.apply(&new));
}

#[test]
fn every_operations_account_must_sign() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    let operations = || vec![by(&bob, pay(&alice, XLM).body)];
    let alone = world.transaction(&alice, operations()).sign(&[&alice]);
    assert!(matches!(world.refused(&alone), TransactionResultResult::TxFailed(_)));
    let both = world.transaction(&alice, operations()).sign(&[&alice, &bob]);
    assert_success(&world.apply(&both));
}

#[test]
fn a_preimage_signs_for_its_hash() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    let preimage = b"the preimage".to_vec();
    let hash: [u8; 32] = Sha256::digest(&preimage).into();
    world.succeed(&alice, set(add(SignerKey::HashX(Uint256(hash)), 1)));
    let mut envelope = world.transaction(&alice, vec![pay(&alice, 1)]).signed(&[]);
    let hint = SignatureHint(hash[28..].try_into().unwrap());
    let signature = DecoratedSignature { hint, signature: Signature(preimage.try_into().unwrap()) };
    envelope.signatures = vec![signature].try_into().unwrap();
    assert_success(&world.apply(&kale_devnet_engine::encode_base64(&TransactionEnvelope::Tx(envelope))));
}

#[test]
fn a_preauthorised_transaction_needs_no_signature_and_is_good_once() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    let sequence = world.account(&alice).unwrap().seq_num.0;
    let later = world.transaction(&alice, vec![pay(&alice, 1)]).sequence(sequence + 2);
    world.succeed(&alice, set(add(SignerKey::PreAuthTx(Uint256(later.hash())), 1)));
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 1);
    assert_success(&world.apply(&later.sign(&[])));
    let account = world.account(&alice).unwrap();
    assert_eq!((account.num_sub_entries, account.signers.len()), (0, 0));
}
