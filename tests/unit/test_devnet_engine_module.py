"""The Python module of the local ledger's engine: conversion, errors, threads. What it does is tested in Rust."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from Crypto.Hash import keccak
from stellar_sdk import Account, Keypair, TransactionBuilder, xdr

from devnet._engine import LedgerEngine, search_nonce

SETTINGS = (Path(__file__).parents[2] / "devnet" / "settings.json").read_text(encoding="utf-8")
PASSPHRASE = "KALE Pool test ledger"
GENESIS_TIME = 1_700_000_000


@pytest.fixture
def engine() -> LedgerEngine:
    return LedgerEngine(SETTINGS, PASSPHRASE, 28, GENESIS_TIME)


def payment(engine: LedgerEngine, sequence: int = 0) -> str:
    """The root account pays itself; its next sequence number is `sequence` + 1."""
    root = Keypair.from_raw_ed25519_seed(engine.root_seed)
    builder = TransactionBuilder(Account(root.public_key, sequence), PASSPHRASE, 100).add_time_bounds(0, 0)
    envelope = builder.append_create_account_op(Keypair.from_raw_ed25519_seed(bytes(32)).public_key, "10").build()
    envelope.sign(root)
    return envelope.to_xdr()


def test_closed_transaction_carries_its_records_as_base64(engine: LedgerEngine) -> None:
    envelope = payment(engine)
    submission = engine.submit(envelope)
    assert (submission.status, submission.error_result_xdr, engine.queued()) == ("PENDING", None, 1)
    (closed,) = engine.close(GENESIS_TIME + 5)
    assert (closed.hash, closed.envelope_xdr, closed.successful) == (submission.hash, envelope, True)
    assert xdr.TransactionResult.from_xdr(closed.result_xdr).fee_charged.int64 == closed.fee_charged == 100
    meta = xdr.TransactionMeta.from_xdr(closed.meta_xdr)
    assert meta.v4 is not None
    assert len(meta.v4.operations) == 1


def test_last_ledger_is_the_one_just_closed(engine: LedgerEngine) -> None:
    genesis = engine.last_ledger
    engine.close(GENESIS_TIME + 5)
    ledger = engine.last_ledger
    assert (genesis.sequence, ledger.sequence, ledger.close_time) == (1, 2, GENESIS_TIME + 5)
    header = xdr.LedgerHeaderHistoryEntry.from_xdr(ledger.history_entry_xdr)
    assert header.header.previous_ledger_hash.hash.hex() == genesis.hash
    meta = xdr.LedgerCloseMeta.from_xdr(ledger.metadata_xdr)
    assert meta.v2 is not None
    assert base64.b64decode(meta.v2.ledger_header.header.to_xdr()) == base64.b64decode(ledger.header_xdr)


def test_refused_transaction_is_an_answer_with_its_result(engine: LedgerEngine) -> None:
    submission = engine.submit(payment(engine, sequence=5))
    assert submission.status == "ERROR"
    assert submission.error_result_xdr is not None
    result = xdr.TransactionResult.from_xdr(submission.error_result_xdr)
    assert result.result.code is xdr.TransactionResultCode.txBAD_SEQ


@pytest.mark.parametrize("text", ["", "AAAA", "not base64"])
def test_text_that_is_no_xdr_is_a_value_error(engine: LedgerEngine, text: str) -> None:
    with pytest.raises(ValueError, match="transaction envelope is not valid XDR"):
        engine.submit(text)
    with pytest.raises(ValueError, match="transaction envelope is not valid XDR"):
        engine.simulate(text)
    with pytest.raises(ValueError, match="ledger key is not valid XDR"):
        engine.entry(text)


def test_settings_protocol_time_and_snapshot_are_checked(engine: LedgerEngine) -> None:
    with pytest.raises(ValueError, match="base_fee_stroops"):
        LedgerEngine("{}", PASSPHRASE, 28, GENESIS_TIME)
    with pytest.raises(ValueError, match="not 20"):
        LedgerEngine(SETTINGS, PASSPHRASE, 20, GENESIS_TIME)
    with pytest.raises(ValueError, match="not after"):
        engine.close(GENESIS_TIME)
    with pytest.raises(ValueError, match="no snapshot"):
        LedgerEngine.restore(b"nothing of the kind")


def test_restored_ledger_goes_on_with_the_same_hashes(engine: LedgerEngine) -> None:
    engine.set_base_fee(200)
    restored = LedgerEngine.restore(engine.snapshot())
    assert (restored.base_fee, restored.passphrase, restored.root_seed) == (200, PASSPHRASE, engine.root_seed)
    for ledger in (engine, restored):
        ledger.close(GENESIS_TIME + 5)
    assert restored.last_ledger.hash == engine.last_ledger.hash


def test_threads_may_read_while_another_closes(engine: LedgerEngine) -> None:
    def close() -> list[int]:
        return [len(engine.close(GENESIS_TIME + 5 * count)) for count in range(1, 200)]

    def read() -> list[int]:
        return [engine.sequence for _ in range(2000)]

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        closing = pool.submit(close)
        assert closing.result() == [0] * 199
        for reader in readers:
            assert reader.result() == sorted(reader.result())
    assert engine.sequence == 200


def test_search_nonce_finds_a_hash_that_another_implementation_computes() -> None:
    entropy, farmer = bytes(range(32)), bytes(range(32, 64))
    nonce, digest = search_nonce(37, entropy, farmer, 3, 1000)
    assert nonce >= 1000
    message = (37).to_bytes(4, "big") + nonce.to_bytes(8, "big") + entropy + farmer
    assert digest.hex() == keccak.new(data=message, digest_bits=256).hexdigest()
    assert digest.hex().startswith("000")


def test_search_nonce_checks_its_arguments() -> None:
    with pytest.raises(ValueError, match="entropy must have 32 bytes, not 3"):
        search_nonce(1, b"abc", bytes(32), 1, 0)
    with pytest.raises(ValueError, match="64 nibbles"):
        search_nonce(1, bytes(32), bytes(32), 65, 0)
    with pytest.raises(ValueError, match="no nonce is left"):
        search_nonce(1, bytes(32), bytes(32), 64, 2**64 - 1)
