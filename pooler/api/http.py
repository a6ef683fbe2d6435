"""The plan's JSON route, GET /pooler/status, and those for whoever watches: /metrics, /livez, /readyz."""

from typing import Any

from aiohttp import web

from kale_common.metrics import CONTENT_TYPE, exposition, registry
from pooler.api.metrics import PoolerMetrics
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

    metrics = registry(PoolerMetrics(overview))

    async def measured(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(metrics), headers={"Content-Type": CONTENT_TYPE})

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(_request: web.Request) -> web.Response:
        down = {part.name: part.problem for part in overview.snapshot().parts if part.problem is not None}
        return web.json_response({"ready": not down, "down": down}, status=503 if down else 200)

    app = web.Application()
    app.router.add_get("/pooler/status", status)
    app.router.add_get("/metrics", measured)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    return app
