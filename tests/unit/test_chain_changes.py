"""What transactions recorded on the local ledger did to pails and trustlines."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Keypair, StrKey
from stellar_sdk import xdr as stellar_xdr

from kale_chain.errors import MalformedXdrError
from kale_chain.model import FarmIdentity, Pail
from kale_chain.xdr import changes as module
from kale_chain.xdr import keys
from kale_chain.xdr.changes import NO_CHANGES, BalanceChange, PailChange, TransactionChanges, read_changes
from kale_chain.xdr.results import read_return_value
from kale_chain.xdr.walking import UnusualXdrError, meta_parts

RECORD: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "transaction_metas.json").read_text())
FARMER, OTHER, FAUCET = RECORD["farmer"], RECORD["other"], RECORD["faucet"]
BLOCK, REWARD = RECORD["block_index"], RECORD["reward_stroops"]
DEPOSIT, STAKE = 1_000_000_000, 70_000_000
IDENTITY = FarmIdentity(
    RECORD["farm_id"],
    RECORD["token_id"],
    RECORD["asset_code"],
    RECORD["asset_issuer"],
    bytes(32),
    RECORD["asset_issuer"],
    RECORD["passphrase"],
)
PLANTED = Pail(RECORD["planted_ledger"], None, STAKE, None)
WORKED = Pail(RECORD["planted_ledger"], RECORD["worked_ledger"] - RECORD["planted_ledger"], STAKE, 1)


def read(name: str, *addresses: str, identity: FarmIdentity = IDENTITY) -> TransactionChanges:
    return read_changes(RECORD["metas"][name], identity, frozenset(addresses))


@pytest.mark.parametrize(
    ("name", "pails", "balances"),
    [
        ("deposit", (), (BalanceChange(FARMER, 0, DEPOSIT),)),
        (
            "plant",
            (PailChange(FARMER, BLOCK, None, PLANTED),),
            (BalanceChange(FARMER, DEPOSIT, DEPOSIT - STAKE),),
        ),
        ("failed plant", (), ()),
        ("work", (PailChange(FARMER, BLOCK, PLANTED, WORKED),), ()),
        (
            "harvest",
            (PailChange(FARMER, BLOCK, WORKED, None),),
            (BalanceChange(FARMER, DEPOSIT - STAKE, DEPOSIT + REWARD),),
        ),
    ],
)
def test_recorded_transaction_changed_this(
    name: str, pails: tuple[PailChange, ...], balances: tuple[BalanceChange, ...]
) -> None:
    assert read(name, FARMER, OTHER) == TransactionChanges(pails, balances)


def test_plant_without_stake_makes_a_pail_and_moves_no_balance() -> None:
    changes = read("plant of another without stake", FARMER, OTHER)
    assert [(pail.farmer, pail.block_index) for pail in changes.pails] == [(OTHER, RECORD["next_block_index"])]
    assert changes.balances == ()


def test_both_sides_of_a_payment_are_seen() -> None:
    amounts = {change.address: change.amount for change in read("deposit", FARMER, FAUCET).balances}
    assert amounts == {FARMER: DEPOSIT, FAUCET: -DEPOSIT}


@pytest.mark.parametrize("name", RECORD["metas"])
def test_what_concerns_none_of_ours_is_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_read", lambda *_: pytest.fail("decoded"))
    assert read(name, Keypair.random().public_key) is NO_CHANGES


def test_pails_of_another_farm_and_lines_of_another_asset_do_not_count() -> None:
    stranger = FarmIdentity(
        StrKey.encode_contract(b"\5" * 32), IDENTITY.token_id, "KALF", IDENTITY.asset_issuer, bytes(32), FARMER, "p"
    )
    for name in RECORD["metas"]:
        assert read(name, FARMER, OTHER, FAUCET, identity=stranger) == NO_CHANGES


def test_entry_changed_by_several_operations_is_one_change_from_first_to_last() -> None:
    meta = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"]["plant"])
    later = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"]["harvest"])
    assert meta.v4 is not None
    assert later.v4 is not None
    meta.v4.operations += later.v4.operations
    changes = read_changes(meta.to_xdr(), IDENTITY, {FARMER})
    assert changes == TransactionChanges((), (BalanceChange(FARMER, DEPOSIT, DEPOSIT + REWARD),))


def test_changes_after_the_operations_count_and_version_3_is_read_alike() -> None:
    newest = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"]["deposit"]).v4
    assert newest is not None
    moved = stellar_xdr.TransactionMetaV3(
        newest.ext, newest.tx_changes_before, [], newest.operations[0].changes, soroban_meta=None
    )
    meta = stellar_xdr.TransactionMeta(3, v3=moved)
    assert read_changes(meta.to_xdr(), IDENTITY, {FARMER}).balances == (BalanceChange(FARMER, 0, DEPOSIT),)


def test_trustline_that_is_closed_ends_at_nothing() -> None:
    meta = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"]["deposit"])
    assert meta.v4 is not None
    changes = meta.v4.operations[0].changes.ledger_entry_changes
    line = next(one.updated.data.trust_line for one in changes if one.updated and one.updated.data.trust_line)
    key = stellar_xdr.LedgerKeyTrustLine(line.account_id, line.asset)
    removed = stellar_xdr.LedgerKey(stellar_xdr.LedgerEntryType.TRUSTLINE, trust_line=key)
    changes.append(
        stellar_xdr.LedgerEntryChange(stellar_xdr.LedgerEntryChangeType.LEDGER_ENTRY_REMOVED, removed=removed)
    )
    seen = {one.address: one for one in read_changes(meta.to_xdr(), IDENTITY, {FARMER, FAUCET}).balances}
    assert None in {one.after for one in seen.values()}


@pytest.mark.parametrize("mangle", [lambda raw: raw[:-8], lambda raw: raw + bytes(4), lambda raw: raw[:-1000]])
def test_mangled_meta_is_an_error(mangle: Callable[[bytes], bytes]) -> None:
    raw = base64.b64decode(RECORD["metas"]["plant"])
    with pytest.raises(MalformedXdrError):
        read_changes(base64.b64encode(mangle(raw)).decode(), IDENTITY, {FARMER})


def older(meta: stellar_xdr.TransactionMeta) -> stellar_xdr.TransactionMeta:
    """The same as version 3 told it."""
    newest = meta.v4
    assert newest is not None
    soroban = newest.soroban_meta and stellar_xdr.SorobanTransactionMeta(
        newest.soroban_meta.ext,
        [event for operation in newest.operations for event in operation.events],
        newest.soroban_meta.return_value or stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_VOID),
        newest.diagnostic_events,
    )
    operations = [stellar_xdr.OperationMeta(operation.changes) for operation in newest.operations]
    meta_v3 = stellar_xdr.TransactionMetaV3(
        newest.ext, newest.tx_changes_before, operations, newest.tx_changes_after, soroban
    )
    return stellar_xdr.TransactionMeta(3, v3=meta_v3)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", RECORD["metas"])
def test_walk_finds_what_decoding_the_whole_finds(name: str, version: int) -> None:
    meta = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"][name])
    meta = older(meta) if version == 3 else meta
    newest = meta.v4 or meta.v3
    assert newest is not None
    groups = [
        newest.tx_changes_before,
        *(operation.changes for operation in newest.operations),
        newest.tx_changes_after,
    ]
    expected = []
    for change in (one for group in groups for one in group.ledger_entry_changes):
        entry = change.created or change.updated or change.state or change.restored
        data = entry.data if entry else change.removed
        assert data is not None
        expected.append((change.type.value, data.to_xdr_bytes()))
    parts = meta_parts(meta.to_xdr_bytes())
    assert [*parts.changes] == expected
    value = newest.soroban_meta.return_value if newest.soroban_meta else None
    assert parts.return_value == (value and value.to_xdr_bytes())


def test_entry_of_a_kind_that_is_not_stepped_over_is_decoded_whole() -> None:
    meta = stellar_xdr.TransactionMeta.from_xdr(RECORD["metas"]["deposit"])
    assert meta.v4 is not None
    offer = stellar_xdr.LedgerKeyOffer(keys.account_id(FARMER), stellar_xdr.Int64(7))
    meta.v4.operations[0].changes.ledger_entry_changes.append(
        stellar_xdr.LedgerEntryChange(
            stellar_xdr.LedgerEntryChangeType.LEDGER_ENTRY_REMOVED,
            removed=stellar_xdr.LedgerKey(stellar_xdr.LedgerEntryType.OFFER, offer=offer),
        )
    )
    with pytest.raises(UnusualXdrError, match="a ledger key of kind 2"):
        meta_parts(meta.to_xdr_bytes())
    assert read_changes(meta.to_xdr(), IDENTITY, {FARMER}).balances == (BalanceChange(FARMER, 0, DEPOSIT),)
    assert read_return_value(meta.to_xdr()) is None
