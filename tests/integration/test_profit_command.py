"""`kale-backend farmer profit` over a real database: earned and charged as booked, and who pays."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.domain.attempt import AttemptKind
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import Farmer
from backend.domain.settlement import HarvestClosed
from backend.domain.work import WorkReport
from backend.ports.stores import BackstopWork, Stores
from tests.fixtures.rows import POOLER, Rows, failed, harvested, succeeded

BLOCK = 40
KALE = 10_000_000
UNWORKED = Failure(FailureReason.TIMEOUT, "the block ended before any work was accepted")
CHANNEL = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
DIGEST = bytes(2) + bytes(range(30))


def run(url: str, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command as typed."""
    environment = {**os.environ, "DATABASE_URL": url, "STELLAR_NETWORK": "local", **changes}
    command = [sys.executable, "-m", "backend", "farmer", "profit", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def told(url: str, *words: str, **changes: str) -> dict[str, Any]:
    """What it tells as JSON."""
    done = run(url, "--json", *words, **changes)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def harvest(stores: Stores, rows: Rows, harvest_id: UUID, reward: int, fee: int) -> None:
    """A harvest that succeeds at its second try; the first cost a stroop."""
    first = rows.attempt(AttemptKind.HARVEST, harvest_id, CHANNEL)
    await stores.harvests.begin([first])
    await stores.attempts.settle([replace(failed(first), fee_charged=1)])
    second = rows.attempt(AttemptKind.HARVEST, harvest_id, CHANNEL)
    await stores.harvests.begin([second])
    await stores.attempts.settle([replace(succeeded(second, [harvested(harvest_id, reward)]), fee_charged=fee)])


async def backstop(stores: Stores, rows: Rows, farmer: Farmer, fee: int) -> None:
    """A work of the backend's own."""
    work_id = uuid4()
    attempt = rows.attempt(AttemptKind.WORK, work_id, CHANNEL)
    await stores.works.begin([BackstopWork(work_id, farmer.farmer_id, BLOCK, DIGEST, 3, 5, attempt)])
    await stores.attempts.settle([replace(succeeded(attempt), fee_charged=fee)])


@pytest.fixture
async def farmers(stores: Stores, rows: Rows) -> list[Farmer]:
    """In a block: one earned 2 KALE and a pooler worked for it, one 1 stroop with a backstop, one lost its stake.

    One is not harvested yet, one was never planted.
    """
    made = await rows.farmers(5)
    await rows.planted(made[:4], BLOCK, stake=3 * KALE)
    pails = {pail.farmer_id: pail.harvest_id for pail in await stores.harvests.open_pails()}
    report = WorkReport("w", POOLER, BLOCK, made[0].farmer_id, DIGEST, 3, 5, 12, "ab" * 32, 130)
    assert await stores.works.record(report)
    await backstop(stores, rows, made[1], 70)
    await harvest(stores, rows, pails[made[0].farmer_id], 2 * KALE, 99)
    await harvest(stores, rows, pails[made[1].farmer_id], 1, 199)
    lost = HarvestClosed(pails[made[2].farmer_id], lost=True, failure=UNWORKED)
    await stores.attempts.apply([lost])
    return made


async def test_earnings_fees_and_verdicts_are_as_booked(application_url: str, farmers: list[Farmer]) -> None:
    found = told(application_url, "--floor-price", "0.0001")
    names = ("farmer_id", "blocks", "reward_stroops", "lost_stroops", "fee_stroops", "work_fee_estimate_stroops")
    ids = [str(farmer.farmer_id) for farmer in farmers]
    assert [tuple(one[name] for name in names) for one in found["farmers"]] == [
        (ids[0], 1, 2 * KALE, 0, 400, 140),  # a work costs what the backstop's did
        (ids[1], 1, 1, 0, 570, 0),
        (ids[2], 1, 0, 3 * KALE, 300, 0),
        (ids[3], 0, 0, 0, 0, 0),
        (ids[4], 0, 0, 0, 0, 0),
    ]
    assert [one["worth_xlm_stroops"] for one in found["farmers"]] == [2000, 0, -3000, 0, 0]
    verdicts = ["pays", "does_not_pay", "does_not_pay", "nothing_ended", "nothing_ended"]
    assert [one["verdict"] for one in found["farmers"]] == verdicts
    assert found["verdicts"] == {"pays": 1, "does_not_pay": 2, "nothing_ended": 2}


async def test_price_is_the_settings_and_may_be_missing(application_url: str, farmers: list[Farmer]) -> None:
    dear = told(application_url, "--unprofitable", KALE_FLOOR_PRICE="0.00001")
    assert [one["farmer_id"] for one in dear["farmers"]] == [str(farmer.farmer_id) for farmer in farmers[:3]]
    unknown = told(application_url)
    assert unknown["floor_price"] is None
    assert unknown["verdicts"] == {"no_price": 3, "nothing_ended": 2}
    table = run(application_url)
    assert "without KALE_FLOOR_PRICE" in table.stdout


async def test_older_blocks_than_asked_for_do_not_count(
    application_url: str, rows: Rows, farmers: list[Farmer]
) -> None:
    await rows.planted(farmers[:1], BLOCK + 2)
    assert told(application_url, "--blocks", "2")["verdicts"] == {"nothing_ended": 5}
    assert told(application_url, "--blocks", "3")["verdicts"] == {"no_price": 3, "nothing_ended": 2}
