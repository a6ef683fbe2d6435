"""PostgreSQL and the backend killed again and again while they farm: nothing is lost, nothing happens twice."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

KILLS = 20


def test_nothing_is_lost_or_doubled_by_kills_of_database_and_backend() -> None:
    command = [sys.executable, "-m", "simulator.kills", "--kills", str(KILLS), "--farmers", "4", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    report = json.loads(run.stdout)
    assert sum(report["killed"].values()) == KILLS
    assert set(report["killed"]) == {"postgresql", "backend", "both"}
    assert report["standing"]["harvested"] > 0
    assert report["balanced"] == report["accounts"] == 4
