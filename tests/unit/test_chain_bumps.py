"""Fee bumps around the same inner transaction, and finding whichever of them a ledger applied."""

import base64

import pytest
from stellar_sdk import FeeBumpTransactionEnvelope, StrKey
from stellar_sdk import xdr as stellar_xdr

from kale_chain.answers import LedgerTransaction, LedgerUpdate
from kale_chain.errors import MalformedXdrError
from kale_chain.model import FarmIdentity, Ledger
from kale_chain.tx import Bounds, FarmCalls, Signer, Transaction, bump_again, fee_bump
from kale_chain.xdr import keys
from kale_chain.xdr.envelopes import uses_sequence
from kale_chain.xdr.results import read_inner_hash

PASSPHRASE = "tests"
MASTER, CHANNEL, STRANGER = (Signer.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
TOKEN = keys.token_id("KALE", MASTER.address, PASSPHRASE)
IDENTITY = FarmIdentity(TOKEN, TOKEN, "KALE", MASTER.address, bytes(32), MASTER.address, PASSPHRASE)
Code = stellar_xdr.TransactionResultCode


def call(sequence: int = 42) -> Transaction:
    return (
        FarmCalls(IDENTITY)
        .harvest(
            source=CHANNEL.address,
            farmer=STRANGER.address,
            block_index=7,
            sequence=sequence,
            bounds=Bounds(max_ledger=99),
        )
        .signed_by(CHANNEL)
    )


def result(code: Code, inner_hash: str) -> str:
    """A fee bump's result in base64."""
    success = code == Code.txFEE_BUMP_INNER_SUCCESS
    inner_code = Code.txSUCCESS if success else Code.txFAILED
    inner = stellar_xdr.InnerTransactionResult(
        stellar_xdr.Int64(0),
        stellar_xdr.InnerTransactionResultResult(inner_code, results=[]),
        stellar_xdr.InnerTransactionResultExt(0),
    )
    pair = stellar_xdr.InnerTransactionResultPair(stellar_xdr.Hash(bytes.fromhex(inner_hash)), inner)
    return stellar_xdr.TransactionResult(
        stellar_xdr.Int64(300),
        stellar_xdr.TransactionResultResult(code, inner_result_pair=pair),
        stellar_xdr.TransactionResultExt(0),
    ).to_xdr()


def applied(transaction: Transaction, *, successful: bool = True) -> LedgerTransaction:
    code = Code.txFEE_BUMP_INNER_SUCCESS if successful else Code.txFEE_BUMP_INNER_FAILED
    assert transaction.inner_hash
    return LedgerTransaction(
        hash=transaction.hash,
        ledger=50,
        close_time=250,
        successful=successful,
        fee_bump=True,
        envelope_xdr=transaction.envelope,
        result_xdr=result(code, transaction.inner_hash),
        meta_xdr="",
        diagnostic_events=(),
    )


def test_another_bump_keeps_the_inner_transaction_byte_for_byte() -> None:
    first = fee_bump(call(), MASTER)
    second = bump_again(Transaction.from_envelope(first.envelope, PASSPHRASE), MASTER, inclusion_fee=1000)
    assert second == fee_bump(call(), MASTER, inclusion_fee=1000)
    assert second.hash != first.hash
    assert second.inner_hash == first.inner_hash == call().hash
    parsed = FeeBumpTransactionEnvelope.from_xdr(second.envelope, PASSPHRASE)
    assert parsed.transaction.inner_transaction_envelope.to_xdr() == call().envelope
    assert parsed.hash_hex() == second.hash
    assert (second.fee, second.payer) == (2 * 1000 + call().resource_fee, MASTER.address)


def test_plain_transaction_cannot_be_bumped_again() -> None:
    with pytest.raises(ValueError, match="use fee_bump"):
        bump_again(call(), MASTER, inclusion_fee=1000)


@pytest.mark.parametrize("successful", [True, False])
def test_transaction_is_found_by_its_own_hash_and_by_its_inner_one(*, successful: bool) -> None:
    ours, strangers = fee_bump(call(), MASTER), fee_bump(call(), STRANGER, inclusion_fee=9000)
    other = fee_bump(call(43), MASTER)
    landed = [applied(strangers, successful=successful), applied(other)]
    update = LedgerUpdate(50, Ledger(50, 250), {one.hash: one for one in landed})
    wanted = [ours.digest, bytes.fromhex(ours.inner_hash or "")]
    assert update.find(wanted) == landed[0]
    assert update.find(wanted[:1]) is None
    assert update.find([other.digest]) == landed[1]


@pytest.mark.parametrize("code", [Code.txINSUFFICIENT_BALANCE, Code.txSUCCESS])
def test_result_of_no_inner_transaction_tells_none(code: Code) -> None:
    results = [] if code == Code.txSUCCESS else None
    plain = stellar_xdr.TransactionResult(
        stellar_xdr.Int64(100),
        stellar_xdr.TransactionResultResult(code, results=results),
        stellar_xdr.TransactionResultExt(0),
    )
    assert read_inner_hash(plain.to_xdr()) is None


def test_result_that_is_no_base64_is_malformed() -> None:
    with pytest.raises(MalformedXdrError):
        read_inner_hash("?" * 60)


def test_source_and_sequence_number_are_read_from_any_envelope() -> None:
    bump = fee_bump(call(), STRANGER)
    for envelope in (call().envelope, bump.envelope):
        assert uses_sequence(envelope, CHANNEL.address, 42)
        assert not uses_sequence(envelope, CHANNEL.address, 43)
        assert not uses_sequence(envelope, STRANGER.address, 42)
    key = StrKey.decode_ed25519_public_key(CHANNEL.address)
    with pytest.raises(MalformedXdrError):
        uses_sequence(base64.b64encode(key + (42).to_bytes(8, "big")).decode(), CHANNEL.address, 42)
