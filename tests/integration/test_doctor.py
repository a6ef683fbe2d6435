"""`kale-pool doctor` on a box that is well, and on boxes where something is not."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from devnet.server import DevnetServer
from tests.fixtures.backend import Pool
from tests.fixtures.pooler_command import Command

ROOT = Path(__file__).resolve().parents[2]


async def doctor(environment: dict[str, str], directory: Path) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """Exit code and diagnoses by area and name."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kale_console", "doctor", "--json"),
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environment},
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert printed, said.decode()
    return process.returncode or 0, {(one["area"], one["name"]): one for one in json.loads(printed)}


async def test_healthy_backend_box_has_nothing_to_complain_about(
    pool: Pool, backend_settings: dict[str, Any], tmp_path: Path
) -> None:
    environment = {name.upper(): str(value) for name, value in backend_settings.items()}
    code, found = await doctor(environment, tmp_path)
    assert (code, [one for one in found.values() if not one["ok"]]) == (0, [])
    assert found["backend", "database"]["detail"].startswith("reachable and migrated")
    assert {"farm", "clock", "disk", "machine"} <= {area for area, _ in found}
    assert ("backend", "channel accounts") in found
    assert str(backend_settings["master_wallet_secret"]) not in json.dumps(list(found.values()))
    await pool.advance()


async def test_what_is_wrong_is_told_with_what_to_do(devnet: DevnetServer, funded: Command, tmp_path: Path) -> None:
    broken = funded.env | {"STELLAR_RPC_URL": f"{devnet.url},http://127.0.0.1:9"}
    code, found = await doctor(broken, tmp_path)
    assert code == 3
    wrong = {key: one["advice"] for key, one in found.items() if not one["ok"]}
    assert set(wrong) == {("rpc", "http://127.0.0.1:9"), ("pooler", "backend")}
    assert all(wrong.values())
    code, found = await doctor(funded.env | {"MAX_WORK_PROCESSES": "0", "WORK_TIMEOUT_MS": "soon"}, tmp_path)
    assert code == 2
    problems = found["settings", "kale-pooler"]["detail"]
    assert "MAX_WORK_PROCESSES" in problems
    assert "WORK_TIMEOUT_MS" in problems, "every fault is listed at once"
