"""`kale-pool doctor`: everything a box of the pool needs, looked at once, with what to do about what is wrong."""

import asyncio
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from kale_chain.errors import ChainError, RpcError
from kale_chain.farm import FarmReader
from kale_chain.identify import identify
from kale_chain.rpc import StellarRpc
from kale_common import logs
from kale_common.command import ENV_FILE, EnvFile, Json, existing, until_signal
from kale_common.errors import EXIT_CONFIG, ConfigError
from kale_common.settings import ServiceSettings, load

EXIT_UNHEALTHY = 3
_CHECK_SECONDS = 120
_MOST_LAG_LEDGERS = 3
_MOST_SECONDS_OFF = 60
_LEAST_FREE = 0.1
_LEAST_DESCRIPTORS = 4_096
_BACKEND = ("DATABASE_URL", "MASTER_WALLET_ADDRESS")
_POOLER = ("FEE_ACCOUNT_SECRET", "FEE_ACCOUNT_SECRET_FILE")
_FOLDERS = {"KEY_FILE": "the keys", "STATE_DIRECTORY": "the pooler's state", "BACKUP_DIRECTORY": "the backups"}
_ADVICE = {
    "database": "start PostgreSQL, check DATABASE_URL, then run `kale-backend migrate`",
    "books": "see docs/operations.md, books_violated; nothing is planted meanwhile",
    "keys": "restore KEY_FILE from your copy; only for a new pool make one with `kale-backend key create`",
    "farm": "check STELLAR_NETWORK and KALE_CONTRACT_ID",
    "master account": "send it XLM; check MASTER_WALLET_ADDRESS and its secret",
    "channel accounts": "they are made by themselves once the master account has 1 XLM for each",
    "fee account": "send it XLM, or `kale-pooler accounts fund` on a test network; then `kale-pooler accounts create`",
    "backend": "start it, check BACKEND_API_URL, its certificate and this pooler's token",
    "hash engine": "set HASH_KERNEL=auto",
}


Values = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing looked at.

    Attributes:
        area: What it belongs to: settings, rpc, farm, clock, disk, machine, backend or pooler.
        name: What it is.
        ok: Whether it is well.
        detail: What was found.
        advice: What to do; empty where it is well.
    """

    area: str
    name: str
    ok: bool
    detail: str
    advice: str = ""


def doctor_command(env_file: EnvFile = ENV_FILE, *, as_json: Json = False) -> None:
    """Look at settings, RPCs, farm, clock, disks and limits, and at the backend and the pooler set up on this box.

    Reads only. Which services are set up is told by their settings. Exit code 2 for wrong settings, 3 if anything else
    is not well.
    """
    logs.configure("error")
    try:
        found = until_signal(diagnoses(existing(env_file)))
    except ConfigError as error:
        typer.echo(f"kale-pool: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    if as_json:
        rows = [{name: getattr(one, name) for name in Diagnosis.__slots__} for one in found]
        typer.echo(json.dumps(rows))
    else:
        _print(found)
    if any(not one.ok and one.area == "settings" for one in found):
        raise typer.Exit(EXIT_CONFIG)
    raise typer.Exit(0 if all(one.ok for one in found) else EXIT_UNHEALTHY)


async def diagnoses(env_file: Path) -> list[Diagnosis]:
    """Everything, looked at once."""
    values: Values = {**dotenv_values(env_file), **os.environ}
    found: list[Diagnosis] = []
    try:
        settings = load(ServiceSettings, env_file)
        found.append(Diagnosis("settings", "network", ok=True, detail=settings.stellar_network))
    except ConfigError as error:
        return [Diagnosis("settings", "network", ok=False, detail=str(error), advice="see .env.example")]
    found += await _rpcs(settings)
    found += [*_disks(values), _descriptors()]
    looks: list[Coroutine[Any, Any, list[Diagnosis]]] = []
    if any(values.get(name) for name in _BACKEND):
        looks.append(_service("backend", env_file))
    if any(values.get(name) for name in _POOLER):
        looks.append(_service("pooler", env_file))
    if not looks:
        detail = "neither backend nor pooler is set up here"
        advice = f"set {' and '.join(_BACKEND)} for a backend, {' or '.join(_POOLER)} for a pooler"
        found.append(Diagnosis("settings", "services", ok=False, detail=detail, advice=advice))
    for look in looks:
        found += await look
    return found


async def _rpcs(settings: ServiceSettings) -> list[Diagnosis]:
    """Each endpoint, whether they agree, the farm, and this machine's clock."""
    async with StellarRpc(settings.stellar_rpc_urls) as rpc:
        seen = [await _rpc(one, settings) for one in rpc.each()]
        found = [diagnosis for diagnosis, _, _ in seen]
        ledgers = [sequence for _, sequence, _ in seen if sequence]
        if len(ledgers) > 1:
            apart = max(ledgers) - min(ledgers)
            agree = apart <= _MOST_LAG_LEDGERS
            advice = "" if agree else "replace the one that lags: it has no vote"
            detail = f"{len(ledgers)} endpoints, {apart} ledgers apart"
            found.append(Diagnosis("rpc", "agreement", agree, detail, advice))
        elif len(seen) == 1:
            found.append(
                Diagnosis("rpc", "agreement", ok=True, detail="one endpoint alone; a second would be a witness")
            )
        found.append(await _farm(rpc, settings))
    moments = [off for _, _, off in seen if off is not None]
    if moments:
        found.append(_clock(min(moments, key=abs), local=settings.stellar_network == "local"))
    return found


async def _rpc(rpc: StellarRpc, settings: ServiceSettings) -> tuple[Diagnosis, int, float | None]:
    """One endpoint, its last ledger, and how far its close time is from this machine's clock."""
    begun = time.monotonic()
    try:
        network = await rpc.network()
        ledger = await rpc.latest_ledger()
    except RpcError as error:
        advice = "check STELLAR_RPC_URL and the way there"
        return Diagnosis("rpc", rpc.endpoint, ok=False, detail=str(error), advice=advice), 0, None
    took = time.monotonic() - begun
    if network.passphrase != settings.stellar_network_passphrase:
        detail = f"serves {network.passphrase!r}"
        return Diagnosis("rpc", rpc.endpoint, ok=False, detail=detail, advice="take it out of STELLAR_RPC_URL"), 0, None
    detail = f"ledger {ledger.sequence}, answers in {took / 2 * 1000:.0f} ms"
    return Diagnosis("rpc", rpc.endpoint, ok=True, detail=detail), ledger.sequence, time.time() - ledger.close_time


async def _farm(rpc: StellarRpc, settings: ServiceSettings) -> Diagnosis:
    try:
        identity = await identify(
            rpc, farm_id=settings.kale_contract_id, passphrase=settings.stellar_network_passphrase
        )
        farm = await FarmReader(rpc, identity).farm()
    except ChainError as error:
        return Diagnosis("farm", settings.kale_contract_id, ok=False, detail=str(error), advice=_ADVICE["farm"])
    if farm.paused:
        return Diagnosis("farm", identity.farm_id, ok=False, detail="paused", advice="wait: its owner paused it")
    return Diagnosis("farm", identity.farm_id, ok=True, detail=f"block {farm.index}, KALE of {identity.asset_issuer}")


def _clock(seconds: float, *, local: bool) -> Diagnosis:
    """This machine's clock against the ledger's: nothing about the chain is decided by it, but certificates are."""
    well = local or -_MOST_SECONDS_OFF < seconds < _MOST_SECONDS_OFF
    detail = "a local ledger has its own time" if local else f"{seconds:.0f} s after the last ledger's close"
    return Diagnosis("clock", "this machine", well, detail, "" if well else "run an NTP service; see `timedatectl`")


def _disks(values: Values) -> list[Diagnosis]:
    found = []
    for variable, what in _FOLDERS.items():
        if not values.get(variable):
            continue
        path = Path(str(values[variable])).absolute()
        folder = next(one for one in (path, *path.parents) if one.is_dir())
        usage = shutil.disk_usage(folder)
        well = usage.free >= _LEAST_FREE * usage.total and os.access(folder, os.W_OK)
        detail = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are free at {folder}"
        found.append(Diagnosis("disk", what, well, detail, "" if well else "make room, and see that it is writable"))
    return found


def _descriptors() -> Diagnosis:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    well = soft == resource.RLIM_INFINITY or soft >= _LEAST_DESCRIPTORS
    advice = "" if well else f"raise it to {_LEAST_DESCRIPTORS} (LimitNOFILE= in systemd, ulimit -n)"
    return Diagnosis("machine", "file descriptors", ok=True, detail=f"{soft} at most", advice=advice)


async def _service(name: str, env_file: Path) -> list[Diagnosis]:
    """What a service's own check finds, run as a process of its own."""
    command = [sys.executable, "-m", name, "check", "--json"]
    if env_file != ENV_FILE:
        command += ["--env-file", str(env_file)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, said = await asyncio.wait_for(process.communicate(), _CHECK_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return [Diagnosis(name, "check", ok=False, detail=f"no answer within {_CHECK_SECONDS} s")]
    try:
        rows = json.loads(printed)
    except ValueError:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        area = "settings" if process.returncode == EXIT_CONFIG else name
        return [Diagnosis(area, f"kale-{name}", ok=False, detail=last[0], advice=f"see {name}/.env.example")]
    return [_of_check(name, row) for row in rows]


def _of_check(service: str, row: dict[str, Any]) -> Diagnosis:
    well = bool(row["ok"])
    return Diagnosis(service, row["name"], well, row["detail"], "" if well else _ADVICE.get(row["name"], ""))


def _print(found: Sequence[Diagnosis]) -> None:
    table = Table(show_header=False)
    for one in found:
        mark = "[green]ok[/]" if one.ok else "[red]FAILED[/]"
        detail = f"{one.detail}\n→ {one.advice}" if one.advice else one.detail
        table.add_row(mark, one.area, one.name, detail)
    Console().print(table)
