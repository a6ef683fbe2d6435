"""Transactions built by hand against stellar_sdk's own reading of them."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, FeeBumpTransactionEnvelope, Keypair, StrKey, TransactionEnvelope, scval
from stellar_sdk import xdr as stellar_xdr
from stellar_sdk.operation import (
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    InvokeHostFunction,
    Payment,
)

from kale_chain.errors import InvalidAddressError, InvalidSecretError, MalformedXdrError
from kale_chain.model import FarmIdentity, Resources
from kale_chain.tx import MAX_SPONSORED, PLANT, Bounds, ClassicCalls, FarmCalls, Signer, Transaction, fee_bump
from kale_chain.xdr import keys

PASSPHRASE = "kale_chain tests"
ISSUER = Signer.from_seed(b"\1" * 32).address
FARM = StrKey.encode_contract(b"\2" * 32)
IDENTITY = FarmIdentity(
    farm_id=FARM,
    token_id=keys.token_id("KALE", ISSUER, PASSPHRASE),
    asset_code="KALE",
    asset_issuer=ISSUER,
    wasm_hash=b"\3" * 32,
    homesteader=ISSUER,
    passphrase=PASSPHRASE,
)
CALLS = FarmCalls(IDENTITY)
CLASSIC = ClassicCalls(IDENTITY)
FARMER = Signer.from_seed(b"\4" * 32)
CHANNEL = Signer.from_seed(b"\5" * 32)
MASTER = Signer.from_seed(b"\6" * 32)
BOUNDS = Bounds(100, max_ledger=104)


def parsed(transaction: Transaction) -> TransactionEnvelope:
    return TransactionEnvelope.from_xdr(transaction.envelope, PASSPHRASE)


def plant(stake: int = 5) -> Transaction:
    return CALLS.plant(farmer=FARMER.address, stake=stake, block_index=9, sequence=7, bounds=BOUNDS)


def work() -> Transaction:
    return CALLS.work(
        source=CHANNEL.address,
        farmer=FARMER.address,
        block_index=9,
        digest=b"\7" * 32,
        nonce=2**64 - 1,
        sequence=8,
        bounds=BOUNDS,
    )


def harvest() -> Transaction:
    return CALLS.harvest(source=CHANNEL.address, farmer=FARMER.address, block_index=9, sequence=8, bounds=BOUNDS)


def footprint(transaction: Transaction) -> tuple[set[str], set[str]]:
    data = parsed(transaction).transaction.soroban_data
    assert data is not None
    used = data.resources.footprint
    return {key.to_xdr() for key in used.read_only}, {key.to_xdr() for key in used.read_write}


def invocation(transaction: Transaction) -> stellar_xdr.InvokeContractArgs:
    (operation,) = parsed(transaction).transaction.operations
    assert isinstance(operation, InvokeHostFunction)
    assert operation.host_function.invoke_contract is not None
    return operation.host_function.invoke_contract


INSTANCE = keys.instance(FARM).to_xdr()
TOKEN = keys.instance(IDENTITY.token_id).to_xdr()
CODE = keys.code(IDENTITY.wasm_hash).to_xdr()
BLOCK = keys.block(FARM, 9).to_xdr()
PAIL = keys.pail(FARM, FARMER.address, 9).to_xdr()
TRUSTLINE = keys.kale_trustline(IDENTITY, FARMER.address).to_xdr()


def test_footprints_are_as_narrow_as_the_calls() -> None:
    assert footprint(plant()) == ({TOKEN, CODE}, {INSTANCE, BLOCK, PAIL, TRUSTLINE})
    assert footprint(plant(0)) == ({CODE}, {INSTANCE, BLOCK, PAIL})
    assert footprint(work()) == ({CODE}, {INSTANCE, BLOCK, PAIL})
    assert footprint(harvest()) == ({INSTANCE, BLOCK, TOKEN, CODE}, {PAIL, TRUSTLINE})


def test_calls_carry_their_arguments_in_the_contracts_types() -> None:
    for transaction, name, arguments in (
        (plant(5), b"plant", [Address(FARMER.address), 5]),
        (work(), b"work", [Address(FARMER.address), b"\7" * 32, 2**64 - 1]),
        (harvest(), b"harvest", [Address(FARMER.address), 9]),
    ):
        call = invocation(transaction)
        assert call.function_name.sc_symbol == name
        assert [scval.to_native(argument) for argument in call.args] == arguments
    assert invocation(plant()).args[1].type == stellar_xdr.SCValType.SCV_I128
    assert invocation(work()).args[2].type == stellar_xdr.SCValType.SCV_U64
    assert invocation(harvest()).args[1].type == stellar_xdr.SCValType.SCV_U32


def test_a_plant_authorises_the_burn_of_its_stake_and_nothing_else() -> None:
    def authorised(stake: int) -> list[stellar_xdr.SorobanAuthorizedInvocation]:
        (operation,) = parsed(plant(stake)).transaction.operations
        assert isinstance(operation, InvokeHostFunction)
        (entry,) = operation.auth
        return entry.root_invocation.sub_invocations

    (burn,) = authorised(5)
    call = burn.function.contract_fn
    assert call is not None
    assert call.function_name.sc_symbol == b"burn"
    assert Address.from_xdr_sc_address(call.contract_address).address == IDENTITY.token_id
    assert [scval.to_native(argument) for argument in call.args] == [Address(FARMER.address), 5]
    assert authorised(0) == []


def test_a_transaction_ends_by_ledger_and_knows_no_clock() -> None:
    conditions = parsed(plant()).transaction.preconditions
    assert conditions is not None
    assert conditions.ledger_bounds is not None
    assert (conditions.ledger_bounds.min_ledger, conditions.ledger_bounds.max_ledger) == (100, 104)
    assert conditions.time_bounds is None
    assert plant().max_ledger == 104


@pytest.mark.parametrize(("low", "high"), [(5, 5), (6, 5), (0, 0), (-1, 5)])
def test_bounds_without_a_ledger_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="hold no ledger"):
        Bounds(low, max_ledger=high)


def test_hash_and_signature_are_those_of_the_network() -> None:
    transaction = plant().signed_by(FARMER)
    envelope = parsed(transaction)
    assert envelope.hash_hex() == transaction.hash
    assert envelope.to_xdr() == transaction.envelope
    (signature,) = envelope.signatures
    Keypair.from_public_key(FARMER.address).verify(envelope.hash(), signature.signature)


def test_signing_twice_adds_nothing() -> None:
    once = plant().signed_by(FARMER)
    assert once.signed_by(FARMER) == once
    assert FARMER.sign(once.envelope, PASSPHRASE) == once.envelope


def test_fee_bump_wraps_the_same_bytes_and_pays_for_the_resources() -> None:
    inner = plant().signed_by(FARMER)
    bump = fee_bump(inner, MASTER, inclusion_fee=250)
    envelope = FeeBumpTransactionEnvelope.from_xdr(bump.envelope, PASSPHRASE)
    assert envelope.hash_hex() == bump.hash
    assert envelope.transaction.inner_transaction_envelope.to_xdr() == inner.envelope
    assert envelope.transaction.fee_source.account_id == bump.payer == MASTER.address
    assert envelope.transaction.fee == bump.fee == 2 * 250 + PLANT.resource_fee
    assert (bump.source, bump.sequence, bump.inner_hash) == (FARMER.address, 7, inner.hash)
    Keypair.from_public_key(MASTER.address).verify(envelope.hash(), envelope.signatures[0].signature)
    with pytest.raises(ValueError, match="cannot be bumped"):
        fee_bump(bump, MASTER)


def test_inner_fee_is_below_the_resource_fee_so_that_it_cannot_be_sent_bare() -> None:
    for transaction in (plant(), plant(0), work(), harvest()):
        assert transaction.fee < transaction.resource_fee


def test_envelopes_are_read_back_as_they_were_built() -> None:
    inner = work().signed_by(CHANNEL)
    bump = fee_bump(inner, MASTER)
    assert Transaction.from_envelope(inner.envelope, PASSPHRASE) == inner
    assert Transaction.from_envelope(bump.envelope, PASSPHRASE) == bump


@given(st.binary(max_size=200).map(lambda raw: raw.hex()) | st.text(max_size=100))
def test_what_is_no_envelope_is_refused(text: str) -> None:
    with pytest.raises(MalformedXdrError):
        Transaction.from_envelope(text, PASSPHRASE)


def test_resources_given_replace_the_table() -> None:
    used = Resources(instructions=11, disk_read_bytes=12, write_bytes=13, resource_fee=14)
    transaction = CALLS.harvest(
        source=CHANNEL.address, farmer=FARMER.address, block_index=9, sequence=1, bounds=BOUNDS, resources=used
    )
    data = parsed(transaction).transaction.soroban_data
    assert data is not None
    assert (
        data.resources.instructions.uint32,
        data.resources.disk_read_bytes.uint32,
        data.resources.write_bytes.uint32,
        data.resource_fee.int64,
    ) == (11, 12, 13, 14)
    assert used.with_margin(10) == Resources(13, 14, 15, 16)


def test_sponsored_accounts_hold_no_xlm_and_trust_kale() -> None:
    farmers = [Signer.generate() for _ in range(MAX_SPONSORED)]
    addresses = [farmer.address for farmer in farmers]
    transaction = CLASSIC.sponsored_accounts(sponsor=MASTER.address, addresses=addresses, sequence=3, bounds=BOUNDS)
    envelope = parsed(transaction.signed_by(MASTER, *farmers))
    assert len(envelope.signatures) == 20
    for number, address in enumerate(addresses):
        begin, create, trust, end = envelope.transaction.operations[4 * number : 4 * number + 4]
        assert isinstance(begin, BeginSponsoringFutureReserves)
        assert isinstance(create, CreateAccount)
        assert isinstance(trust, ChangeTrust)
        assert isinstance(end, EndSponsoringFutureReserves)
        assert (begin.sponsored_id, create.destination, create.starting_balance) == (address, address, "0")
        assert trust.asset.code == "KALE"
        assert trust.source == end.source
        assert trust.source is not None
        assert trust.source.account_id == address
    assert transaction.fee == 100 * 4 * MAX_SPONSORED


@pytest.mark.parametrize("count", [0, MAX_SPONSORED + 1])
def test_more_sponsored_accounts_than_signatures_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="can be sponsored"):
        CLASSIC.sponsored_accounts(
            sponsor=MASTER.address, addresses=[FARMER.address] * count, sequence=3, bounds=BOUNDS
        )


@given(st.integers(1, 2**63 - 1))
def test_payments_keep_every_stroop(stroops: int) -> None:
    transaction = CLASSIC.payment(
        source=MASTER.address,
        destination=FARMER.address,
        stroops=stroops,
        sequence=1,
        bounds=BOUNDS,
        memo_hash=b"\x08" * 32,
    )
    body = stellar_xdr.TransactionEnvelope.from_xdr(transaction.envelope).v1
    assert body is not None
    payment = body.tx.operations[0].body.payment_op
    assert payment is not None
    assert payment.amount.int64 == stroops
    assert body.tx.memo.hash is not None
    assert body.tx.memo.hash.hash == b"\x08" * 32


def test_accounts_are_created_with_their_xlm_and_payments_can_be_xlm() -> None:
    created = CLASSIC.create_accounts(
        source=MASTER.address, accounts=[(FARMER.address, 10_000_000)], sequence=1, bounds=BOUNDS
    )
    (create,) = parsed(created).transaction.operations
    assert isinstance(create, CreateAccount)
    assert create.starting_balance == "1"
    paid = CLASSIC.payment(
        source=MASTER.address, destination=FARMER.address, stroops=1, sequence=1, bounds=BOUNDS, native=True
    )
    (payment,) = parsed(paid).transaction.operations
    assert isinstance(payment, Payment)
    assert payment.asset.is_native()


def test_derived_signers_are_the_same_again_and_differ_by_label_number_and_seed() -> None:
    first = MASTER.derive("work channel", 3)
    assert first.address == Signer.from_seed(MASTER.seed).derive("work channel", 3).address
    others = [MASTER.derive("work channel", 4), MASTER.derive("other", 3), FARMER.derive("work channel", 3), MASTER]
    assert len({first.address, *(other.address for other in others)}) == 5


def test_a_signer_shows_its_address_and_hides_its_seed() -> None:
    secret = Keypair.random().secret
    signer = Signer.from_secret(f" {secret}\n")
    assert repr(signer) == f"Signer({Keypair.from_secret(secret).public_key})"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(signer)


@pytest.mark.parametrize("text", ["", "S", "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE", "S" + "A" * 55])
def test_what_is_no_secret_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidSecretError) as caught:
        Signer.from_secret(text)
    assert text not in str(caught.value) or len(text) < 2
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidSecretError):
        Signer.from_seed(b"\0" * 31)


def test_what_is_no_farmer_is_refused() -> None:
    with pytest.raises(InvalidAddressError):
        CALLS.plant(farmer="GNOBODY", stake=0, block_index=0, sequence=1, bounds=BOUNDS)
    with pytest.raises(InvalidAddressError, match="account address"):
        keys.kale_trustline(IDENTITY, FARM)
