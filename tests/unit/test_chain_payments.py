"""Who paid whom, and with which memo, in transactions of every kind that moves KALE."""

from collections.abc import Sequence
from typing import Any

import pytest
from stellar_sdk import (
    Account,
    Address,
    Asset,
    ClaimClaimableBalance,
    HashMemo,
    IdMemo,
    Keypair,
    MuxedAccount,
    Network,
    Operation,
    PathPaymentStrictReceive,
    Payment,
    ReturnHashMemo,
    TextMemo,
    TransactionBuilder,
    TransactionEnvelope,
    scval,
)
from stellar_sdk.memo import Memo as SdkMemo

from kale_chain.errors import MalformedXdrError
from kale_chain.model import NOBODY, Counterparty, FarmIdentity, Memo, MemoKind
from kale_chain.xdr.payments import read_counterparty

ISSUER, PAYER, FARMER, OTHER = (Keypair.random() for _ in range(4))
KALE = Asset("KALE", ISSUER.public_key)
PASSPHRASE = Network.TESTNET_NETWORK_PASSPHRASE
IDENTITY = FarmIdentity(
    farm_id="CDSWUUXGPWDZG76ISK6SUCVPZJMD5YUV66J2FXFXFGDX25XKZJIEITAO",
    token_id=KALE.contract_id(PASSPHRASE),
    asset_code="KALE",
    asset_issuer=ISSUER.public_key,
    wasm_hash=bytes(32),
    homesteader=ISSUER.public_key,
    passphrase=PASSPHRASE,
)
MUXED = MuxedAccount(FARMER.public_key, 7).account_muxed or ""


def built(operations: Sequence[Operation], memo: SdkMemo | None = None) -> TransactionEnvelope:
    builder = TransactionBuilder(Account(PAYER.public_key, 1), PASSPHRASE, base_fee=100)
    builder.add_time_bounds(0, 0)
    for operation in operations:
        builder.append_operation(operation)
    if memo is not None:
        builder.add_memo(memo)
    envelope = builder.build()
    envelope.sign(PAYER)
    return envelope


def received(*operations: Operation, memo: SdkMemo | None = None) -> Counterparty:
    return read_counterparty(built(operations, memo).to_xdr(), IDENTITY, FARMER.public_key, received=True)


def to(destination: str, *, source: str | None = None, asset: Asset = KALE) -> Payment:
    return Payment(destination, asset, "5", source)


@pytest.mark.parametrize(
    ("memo", "expected"),
    [
        (None, None),
        (TextMemo("hello"), Memo(MemoKind.TEXT, "hello")),
        (TextMemo(b"\xff\x00a"), Memo(MemoKind.TEXT, "\\xff\\x00a")),
        (IdMemo(2**64 - 1), Memo(MemoKind.ID, str(2**64 - 1))),
        (HashMemo(b"\xab" * 32), Memo(MemoKind.HASH, "ab" * 32)),
        (ReturnHashMemo(b"\xcd" * 32), Memo(MemoKind.RETURN, "cd" * 32)),
    ],
)
def test_payment_names_its_sender_and_memo(memo: SdkMemo | None, expected: Memo | None) -> None:
    assert received(to(FARMER.public_key), memo=memo) == Counterparty(PAYER.public_key, expected)
    if expected is not None:
        assert Memo.parse(str(expected)) == expected


def test_first_payment_of_kale_to_the_address_counts() -> None:
    found = received(
        to(OTHER.public_key),
        to(FARMER.public_key, asset=Asset.native()),
        to(FARMER.public_key, source=OTHER.public_key),
        to(FARMER.public_key),
    )
    assert found == Counterparty(OTHER.public_key)


def test_muxed_address_is_that_of_its_account() -> None:
    assert received(to(MUXED)) == Counterparty(PAYER.public_key)
    paid_out = read_counterparty(
        built([to(MUXED, source=OTHER.public_key)]).to_xdr(), IDENTITY, OTHER.public_key, received=False
    )
    assert paid_out == Counterparty(MUXED)


def test_path_payment_that_delivers_kale_counts() -> None:
    path = PathPaymentStrictReceive(FARMER.public_key, Asset.native(), "9", KALE, "5", [])
    assert received(path) == Counterparty(PAYER.public_key)


def transfer(contract_id: str, function: str = "transfer") -> TransactionEnvelope:
    parameters: list[Any] = [
        scval.to_address(Address(OTHER.public_key)),
        scval.to_address(Address(FARMER.public_key)),
        scval.to_int128(5),
    ]
    builder = TransactionBuilder(Account(PAYER.public_key, 1), PASSPHRASE, base_fee=100)
    return builder.append_invoke_contract_function_op(contract_id, function, parameters).add_time_bounds(0, 0).build()


def test_transfer_by_the_token_contract_names_both_sides() -> None:
    envelope = transfer(IDENTITY.token_id).to_xdr()
    assert read_counterparty(envelope, IDENTITY, FARMER.public_key, received=True) == Counterparty(OTHER.public_key)
    assert read_counterparty(envelope, IDENTITY, OTHER.public_key, received=False) == Counterparty(FARMER.public_key)


def test_other_contracts_and_operations_name_nobody() -> None:
    for envelope in (transfer(IDENTITY.farm_id), transfer(IDENTITY.token_id, "mint")):
        assert read_counterparty(envelope.to_xdr(), IDENTITY, FARMER.public_key, received=True) == NOBODY
    assert received(ClaimClaimableBalance("00000000" + "ab" * 32)) == NOBODY


def test_fee_bump_tells_of_its_inner_transaction() -> None:
    bump = TransactionBuilder.build_fee_bump_transaction(OTHER, 500, built([to(FARMER.public_key)]), PASSPHRASE)
    found = read_counterparty(bump.to_xdr(), IDENTITY, FARMER.public_key, received=True)
    assert found == Counterparty(PAYER.public_key)


def test_what_is_no_envelope_is_refused() -> None:
    with pytest.raises(MalformedXdrError):
        read_counterparty("AAAA", IDENTITY, FARMER.public_key, received=True)
