"""Alarms: hysteresis, what raises each, and the signed webhook that tells of them until somebody takes it."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from backend.domain.alarm import Alarm, Change, Severity
from backend.domain.attempt import Attempt, AttemptKind, AttemptState
from backend.domain.life import LifeBand
from backend.domain.plant import FarmView
from backend.domain.settlement import Settlement
from backend.notify.webhook import SIGNATURE, Webhook, signature
from backend.ports.backups import BackupAges
from backend.ports.stores import PoolCounts
from backend.services.conditions import NAMES, conditions
from backend.services.status import Component, Health, PoolStatus
from backend.services.submitting import Ended
from backend.services.tally import Tally
from backend.services.vitals import Disk, Vitals
from kale_chain.model import Block, Farm, Ledger
from kale_chain.planning.plants import FarmerPlan, PlantPlan, Reason

SECRET = "a secret of the webhook"
XLM = 10_000_000


def looks(alarm: Alarm, details: Sequence[str | None]) -> list[bool | None]:
    """What each look made of the alarm: raised, cleared or nothing."""
    changes = [alarm.look(detail) for detail in details]
    return [None if change is None else change.raised for change in changes]


def test_alarm_is_raised_by_looks_in_a_row_and_cleared_later_than_raised() -> None:
    alarm = Alarm("a", Severity.WARNING, raise_after=2, clear_after=3)
    assert looks(alarm, ["x", None, "x", None]) == [None] * 4, "one look alone raises nothing"
    assert looks(alarm, ["x", "y"]) == [None, True]
    assert (alarm.active, alarm.detail) == (True, "y")
    assert looks(alarm, ["z", "z"]) == [None, None], "it is raised once"
    assert looks(alarm, [None, None, "z", None, None, None]) == [None, None, None, None, None, False]
    assert not alarm.active


def view(*, index: int = 7, seconds: int = 40, paused: bool = False, code: bytes = b"1" * 32) -> FarmView:
    block = replace(Block.unseen(1_000 * index), timestamp=1_000 * index)
    farm = Farm(index, block, paused, 100 * index, 10**6, code)
    return FarmView(farm=farm, open_block=block, ledger=Ledger(100 * index, 1_000 * index + seconds))


def vitals(**changes: Any) -> Vitals:
    """A pool that is well."""
    counts = PoolCounts(active_farmers=3, planted=3, unworked=0, open_pails=3, open_attempts=0)
    components = [Component("database", Health.UP), Component("stellar", Health.UP)]
    status = PoolStatus(10, changes.pop("components", components), changes.pop("view", view()), counts, 500 * XLM)
    status = replace(status, master_balance_stroops=changes.pop("balance", 500 * XLM))
    return replace(Vitals(status, poolers_attending=1), **changes)


def wrong(seen: Vitals, tally: Tally | None = None) -> dict[str, str]:
    """What is wrong, by alarm."""
    return {one.name: one.detail for one in conditions(seen, tally or Tally()) if one.detail is not None}


def test_a_pool_that_is_well_raises_nothing() -> None:
    assert wrong(vitals()) == {}
    assert [one.name for one in conditions(vitals(), Tally())] == list(NAMES)


OLD = BackupAges(7_300.0, 1.0, 1.0, drill_passed=True, problem="no space left")


@pytest.mark.parametrize(
    ("seen", "alarm", "text"),
    [
        (vitals(balance=99 * XLM), "master_balance_low", "99.00 XLM"),
        (vitals(balance=300 * XLM, spent_day_stroops=600 * XLM), "master_balance_low", "lasts 12.0 hours"),
        (vitals(components=[Component("database", Health.DOWN, "gone")]), "database_unreachable", "gone"),
        (vitals(components=[Component("stellar", Health.DOWN, "silent")]), "ledger_unreachable", "silent"),
        (vitals(components=[Component("books", Health.DOWN, "7 KALE")]), "books_violated", "7 KALE"),
        (vitals(components=[Component("quarantine", Health.DEGRADED, "until 9")]), "quarantine", "until 9"),
        (vitals(components=[Component("rpc http://a", Health.DEGRADED, "lags")]), "rpc_disagreement", "lags"),
        (vitals(view=view(paused=True)), "farm_paused", "paused"),
        (vitals(disks={"keys": Disk(100 * 10**9, 9 * 10**9)}), "disk_low", "keys: 9.0 GB of 100 GB"),
        (vitals(backups=OLD), "backup_old", "122 minutes old: no space left"),
        (vitals(backups=BackupAges(1.0, 301.0, 1.0, drill_passed=True, problem="")), "backup_old", "log"),
        (vitals(backups=BackupAges(1.0, 1.0, 1.0, drill_passed=False, problem="no")), "backup_drill_failed", "no"),
        (vitals(poolers_attending=0), "pooler_silent", "no pooler attends"),
        (vitals(poolers_silent=2), "pooler_silent", "2 poolers are silent"),
    ],
)
def test_each_fault_raises_its_alarm_alone_and_says_why(seen: Vitals, alarm: str, text: str) -> None:
    found = wrong(seen)
    assert list(found) == [alarm]
    assert text in found[alarm]


@pytest.mark.parametrize("percent", [25, 50, 75])
def test_pails_raise_the_alarm_of_the_part_of_their_lives_that_is_used(percent: int) -> None:
    bands = [LifeBand(0, 25, 5, 50 * XLM, 900), LifeBand(percent, percent + 25, 2, 20 * XLM, 800)]
    component = [Component("harvests", Health.DEGRADED, "at risk")]
    assert list(wrong(vitals(bands=bands, components=component))) == [f"pails_at_{percent}"]
    assert wrong(vitals(bands=bands)) == {}, "who waits by choice is not alarmed about"


def test_block_without_a_plant_is_missed_only_if_somebody_could_have_been_planted() -> None:
    tally = Tally()
    tally.look(view(index=1), active_farmers=3, planted=3)
    tally.look(view(index=2), active_farmers=3, planted=0)
    assert (tally.blocks, tally.missed) == (1, 0)
    tally.look(view(index=3, paused=True), active_farmers=3, planted=0)
    assert (tally.blocks, tally.missed) == (2, 1)
    assert "blocks_missed" in wrong(vitals(), tally)
    tally.look(view(index=4), active_farmers=0, planted=0)
    tally.look(view(index=5), active_farmers=0, planted=0)
    assert (tally.blocks, tally.missed) == (4, 1), "neither while paused nor without farmers"
    assert "blocks_missed" not in wrong(vitals(), tally)


def plan(index: int, *reasons: Reason) -> PlantPlan:
    """A plan with a farmer for each reason."""
    return PlantPlan(index, tuple(FarmerPlan(f"G{n}", reason, 0, 0, 0, 0, 0, 0) for n, reason in enumerate(reasons)))


def test_plan_without_anybody_is_told_with_its_reasons_until_somebody_is_planted() -> None:
    tally = Tally()
    tally.plan(plan(8, Reason.FEES, Reason.FEES))
    text = wrong(vitals(), tally)["blocks_missed"]
    assert text == "planned nobody in block 8, for of the farmers 2 would not earn their fees at KALE_FLOOR_PRICE"
    assert "blocks_missed" in wrong(vitals(view=view(index=9)), tally)
    assert "blocks_missed" not in wrong(vitals(view=view(index=10)), tally), "that is long ago"
    tally.plan(plan(9, Reason.PAYS, Reason.FEES))
    tally.plan(plan(9, Reason.TOO_LATE))
    assert "blocks_missed" not in wrong(vitals(view=view(index=9)), tally), "one of them was planted"


@pytest.mark.parametrize(("reason", "planted"), [(Reason.FEES, 2), (Reason.TOO_LATE, 1)])
def test_late_plan_of_a_block_that_was_planted_is_no_alarm(reason: Reason, planted: int) -> None:
    """A restarted backend knows of the first plan of the block by its plants alone."""
    tally, seen = Tally(), vitals()
    tally.plan(plan(7, reason))
    for planted_now, found in ((planted, []), (planted - 1, ["blocks_missed"])):
        status = replace(seen.status, counts=replace(seen.status.counts, planted=planted_now))
        assert list(wrong(replace(seen, status=status), tally)) == found


def test_replaced_code_is_told_for_an_hour_of_ledgers() -> None:
    tally = Tally()
    for code in (b"1" * 32, b"1" * 32, b"2" * 32):
        tally.look(view(code=code), active_farmers=1, planted=1)
    assert tally.upgraded_at == 700
    assert "farm_upgraded" in wrong(vitals(), tally)
    assert "farm_upgraded" not in wrong(vitals(view=view(index=15)), tally)


def test_tally_counts_ends_fees_and_latencies() -> None:
    tally = Tally()
    attempt = Attempt(
        hash=bytes(32),
        inner_hash=None,
        kind=AttemptKind.PLANT,
        intent_id=None,
        source="G",
        sequence=1,  # type: ignore[arg-type]
        envelope="",
        max_ledger=20,
        created_ledger=10,
        max_fee=100,
    )
    done = Settlement(bytes(32), AttemptState.SUCCEEDED, result_ledger=12, fee_charged=70)
    lost = Settlement(bytes(32), AttemptState.EXPIRED, result_ledger=20)
    tally.note([Ended(attempt, done), Ended(attempt, lost)])
    tally.look(view(seconds=25), active_farmers=1, planted=1)
    assert tally.transactions == {
        (AttemptKind.PLANT, AttemptState.SUCCEEDED): 1,
        (AttemptKind.PLANT, AttemptState.EXPIRED): 1,
    }
    assert tally.fees == {AttemptKind.PLANT: 70}
    assert (tally.inclusion[AttemptKind.PLANT].count, tally.planted.count) == (1, 1)


Received = list[tuple[dict[str, Any], str, bytes]]


async def receiver(received: Received, statuses: list[int]) -> TestServer:
    """Takes posts; answers with the statuses one after the other, then with 200."""

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        received.append((json.loads(body), request.headers[SIGNATURE], body))
        return web.Response(status=statuses.pop(0) if statuses else 200)

    application = web.Application()
    application.router.add_post("/alarms", take)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    return server


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110  (a server of another task)
            await asyncio.sleep(0.01)


async def test_webhook_signs_and_repeats_until_it_is_taken() -> None:
    received: Received = []
    server = await receiver(received, [500, 302])
    webhook = Webhook(str(server.make_url("/alarms")), SECRET, network="local", first_pause=0.01)
    task = asyncio.create_task(webhook.run())
    webhook.tell(Change("disk_low", Severity.CRITICAL, raised=True, detail="1 GB"), 77)
    webhook.tell(Change("disk_low", Severity.CRITICAL, raised=False, detail="1 GB"), 99)
    await until(lambda: len(received) == 4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.close()
    messages = [message for message, _, _ in received]
    assert [message["state"] for message in messages] == ["raised", "raised", "raised", "cleared"]
    assert len({message["id"] for message in messages}) == 2, "a repeat keeps its id"
    assert (messages[0]["alarm"], messages[0]["ledger"], messages[0]["network"]) == ("disk_low", 77, "local")
    for _, header, body in received:
        moment, _, digest = header.removeprefix("t=").partition(",sha256=")
        expected = hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        assert digest == expected
    assert SECRET not in repr(webhook)


def test_signature_changes_with_time_and_body() -> None:
    assert len({signature(SECRET, 1, b"a"), signature(SECRET, 2, b"a"), signature(SECRET, 1, b"b")}) == 3
