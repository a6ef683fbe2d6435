"""The plan's JSON route: GET /pooler/status."""

from typing import Any

from aiohttp import web

from pooler.domain.snapshot import Snapshot
from pooler.services.overview import Overview


def plan_status(snapshot: Snapshot) -> dict[str, Any]:
    """The status in the plan's words.

    `status` is "mining" while farmers are planted, searched for or submitted for, "idle" between, and "degraded" while
    the backend or the ledger cannot be reached.
    """
    busy = "idle" if snapshot.phase == "waiting" else "mining"
    return {
        "status": busy if snapshot.healthy else "degraded",
        "currentBlock": snapshot.block_index,
        "activeFarmers": len(snapshot.farmers),
        "workProcesses": snapshot.running_searches,
        "machineLoad": round(snapshot.machine_load, 2),
    }


def application(overview: Overview) -> web.Application:
    """The HTTP application."""

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(plan_status(overview.snapshot()))

    app = web.Application()
    app.router.add_get("/pooler/status", status)
    return app
