"""`kale-backend audit` and `blame` as commands, over a real database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.domain.failure import Failure, FailureReason
from backend.domain.settlement import HarvestClosed
from backend.ports.stores import Stores
from tests.fixtures.rows import Rows
from tests.fixtures.stores import Query

BLOCK = 40
UNWORKED = Failure(FailureReason.TIMEOUT, "the block ended before any work was accepted")


@pytest.fixture
async def filled(stores: Stores, rows: Rows) -> None:
    """Two farmers planted in a block; the stake of one is lost."""
    await rows.planted(await rows.farmers(2), BLOCK)
    pail, _ = await stores.harvests.open_pails()
    await stores.attempts.apply([HarvestClosed(pail.harvest_id, lost=True, failure=UNWORKED)])
    await stores.events.seal()


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": url, "STELLAR_NETWORK": "local"}
    command = [sys.executable, "-m", "backend", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("filled")
def test_trail_is_verified_against_the_head_outside(application_url: str, query: Query, tmp_path: Path) -> None:
    good = run(application_url, "audit", "verify", "--json")
    assert good.returncode == 0, good.stderr
    found = json.loads(good.stdout)
    assert (found["links"], found["fault"]) == (4, None)
    head = tmp_path / "head"
    head.write_text(json.dumps({"link_number": found["head"]["number"], "link_hash": found["head"]["hash"]}))
    assert run(application_url, "audit", "verify", "--head", str(head)).returncode == 0

    query("SET session_replication_role = replica; UPDATE block_events SET block_index = 41 WHERE id = 2")
    bad = run(application_url, "audit", "verify", "--head", str(head))
    assert bad.returncode == 1
    assert "CHANGED: number 2 (event 2)" in bad.stdout

    head.write_text("{}")
    unusable = run(application_url, "audit", "verify", "--head", str(head))
    assert unusable.returncode == 2
    assert "holds no head of the audit chain" in unusable.stderr


@pytest.mark.usefixtures("filled")
def test_block_is_shown_with_its_events_and_attempts(application_url: str) -> None:
    shown = run(application_url, "audit", "show", "--block", str(BLOCK), "--json")
    assert shown.returncode == 0, shown.stderr
    what = [line["what"] for line in json.loads(shown.stdout)]
    assert sorted(what) == ["attempt to plant"] * 2 + ["harvest_lost", "plant_requested"] + ["planted"] * 2
    assert "harvest lost" in run(application_url, "audit", "show", "--block", str(BLOCK)).stdout
    nothing = run(application_url, "audit", "show", "--block", "7")
    assert (nothing.returncode, nothing.stdout) == (0, "nothing is recorded of block 7\n")


@pytest.mark.usefixtures("filled")
def test_blame_names_cause_and_owner_of_what_failed(application_url: str) -> None:
    blamed = run(application_url, "blame", "--block", str(BLOCK), "--json")
    assert blamed.returncode == 0, blamed.stderr
    report = json.loads(blamed.stdout)
    assert report["owners"] == {"backend": 1}
    failed = [(one["failed"], one["cause"], one["owner"]) for one in report["outcomes"] if one["failed"]]
    assert failed == [("harvest", "backstop_missed", "backend")]
    assert len(report["outcomes"]) == 2
    assert "failures by owner: backend 1" in run(application_url, "blame", "--block", str(BLOCK)).stdout
