"""The state file: a ledger that goes on after a restart."""

import dataclasses
from pathlib import Path

import pytest

from devnet.errors import StateError
from devnet.ledger import LocalLedger
from devnet.server import DevnetOptions, DevnetServer

OPTIONS = DevnetOptions(close_seconds=0, genesis_time=1_750_000_000, neighbours=2, neighbour_zeros=(1, 1))


async def digests(ledger: LocalLedger) -> tuple[list[str], list[str]]:
    """Hashes of all ledgers and all transactions."""
    ledgers = ledger.history.since(1)
    return [one.hash for one in ledgers], [record.hash for one in ledgers for record in one.transactions]


async def test_restarted_ledger_has_its_history_and_goes_on(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, state=tmp_path / "ledger.db")
    async with DevnetServer(options) as devnet:
        await devnet.advance(20)
        before = await digests(devnet.ledger)
        record = next(record for one in devnet.ledger.history.since(6) for record in one.transactions)
    async with DevnetServer(options) as devnet:
        assert await digests(devnet.ledger) == before
        found = devnet.ledger.history.find(record.hash)
        assert found
        assert found[1] == record
        await devnet.advance(50)
        after = await digests(devnet.ledger)
    async with DevnetServer(options) as devnet:
        assert await digests(devnet.ledger) == after
    async with DevnetServer(OPTIONS) as never_stopped:
        await never_stopped.advance(70)
        assert await digests(never_stopped.ledger) == after


@pytest.mark.parametrize("change", [{"passphrase": "Another Ledger"}, {"neighbours": 3}])
async def test_state_of_another_ledger_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    options = dataclasses.replace(OPTIONS, state=tmp_path / "ledger.db")
    async with DevnetServer(options):
        pass
    with pytest.raises(StateError, match=next(iter(change))):
        await DevnetServer(dataclasses.replace(options, **change)).__aenter__()


async def test_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 100)
    with pytest.raises(StateError, match=r"notes\.txt"):
        await DevnetServer(dataclasses.replace(OPTIONS, state=path)).__aenter__()
    assert path.read_text() == "buy milk\n" * 100


async def test_state_in_use_is_refused(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, state=tmp_path / "ledger.db")
    async with DevnetServer(options):
        with pytest.raises(StateError, match="locked"):
            await DevnetServer(options).__aenter__()
