"""The plan's JSON routes over the same services as gRPC.

Errors answer with their HTTP status and `{"success": false, "error": reason, "message": text}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from backend.api.access import access_middleware
from backend.api.certificate import EdgeCertificate
from backend.api.errors import HTTP_STATUS, status_of
from backend.api.farmer_routes import FarmerRoutes
from backend.api.json_body import Body, field_of, read_body
from backend.domain import requests
from backend.domain.failure import Failure, FailureReason
from backend.domain.plant import PlantEvent, PlantState
from backend.domain.work import WorkReport
from backend.errors import BackendError, InvalidRequestError, RateLimitedError, UnauthenticatedError
from backend.services.door import Door
from backend.services.planting import Planting
from backend.services.status import Health, StatusBoard
from backend.services.working import ReportOutcome, Working
from kale_common.errors import ConfigError

_log = structlog.get_logger()

_SHUTDOWN_SECONDS = 2.0
_MAX_REPORTS_BYTES = 1024 * 1024
"""A report holds the results of all farmers of a block; over gRPC each is a message."""
_HEALTH_PARTS = frozenset({"database", "stellar"})
_DEFAULT_POOLER = "http"
_COUNTED = frozenset({ReportOutcome.STORED, ReportOutcome.STORED_UNVERIFIED, ReportOutcome.DUPLICATE})


def http_application(
    planting: Planting, working: Working, board: StatusBoard, farmers: FarmerRoutes, door: Door
) -> web.Application:
    """The HTTP application with the backend's routes."""
    routes = HttpRoutes(planting, working, board)
    middlewares = [_translate_errors, access_middleware(door)]  # the first is the outermost
    application = web.Application(middlewares=middlewares, client_max_size=_MAX_REPORTS_BYTES)
    application.add_routes(
        [
            web.post("/api/blocks/new", routes.new_block),
            web.post("/api/plant/request", routes.plant),
            web.post("/api/work/complete", routes.complete_work),
            web.get("/api/health", routes.health),
        ]
    )
    application.add_routes(farmers.routes())
    return application


class HttpServer:
    """Serves an application on `host`:`port`; port 0 lets the system choose (see `port` once started)."""

    def __init__(self, host: str, port: int, application: web.Application, tls: EdgeCertificate | None = None) -> None:
        self._host = host
        self.port = port
        self._tls = tls
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Binds and serves.

        Raises:
            ConfigError: the port is taken, or the certificate cannot be used.
        """
        context = None if self._tls is None else self._tls.for_http()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port, ssl_context=context).start()
        except OSError as error:
            await self._runner.cleanup()
            problem = f"cannot listen on {self._host}:{self.port}: {error.strerror}; choose another port"
            raise ConfigError("HTTP_PORT", problem) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Closes the listener, lets running requests end for a while, then cancels them."""
        await self._runner.cleanup()


class HttpRoutes:
    """Handlers of the JSON routes."""

    def __init__(self, planting: Planting, working: Working, board: StatusBoard) -> None:
        self._planting = planting
        self._working = working
        self._board = board

    async def new_block(self, request: web.Request) -> web.Response:
        """`{blockIndex, poolerId?, openedLedgerTime?, ledgerSequence?}`: a block was detected."""
        body = await read_body(request)
        pooler_id = field_of(body, "poolerId", str, _DEFAULT_POOLER)
        block_index = field_of(body, "blockIndex", int)
        opened_at = field_of(body, "openedLedgerTime", int, 0)
        ledger = field_of(body, "ledgerSequence", int, 0)
        requests.block_report(
            pooler_id=pooler_id, block_index=block_index, opened_ledger_time=opened_at, ledger_sequence=ledger
        )
        recorded = await self._working.report_block(pooler_id, block_index, opened_at=opened_at, ledger=ledger)
        return web.json_response({"success": True, "blockIndex": block_index, "recorded": recorded})

    async def plant(self, request: web.Request) -> web.Response:
        """`{blockIndex, requestedFarmers?, poolerId?, requestId?}`: plants, and answers once all plants are final."""
        body = await read_body(request)
        command = requests.plant_request(
            request_id=field_of(body, "requestId", str, f"http-{uuid4()}"),
            pooler_id=field_of(body, "poolerId", str, _DEFAULT_POOLER),
            block_index=field_of(body, "blockIndex", int),
            requested_farmers=field_of(body, "requestedFarmers", int, 0),
        )
        await self._planting.request(command)
        planted, failed = [], []
        async for event in self._planting.events(command, 0):
            if not isinstance(event, PlantEvent):
                continue
            if event.plant.state is PlantState.CONFIRMED:
                planted.append(_planted(event))
            else:
                failed.append(_failed(event))
        return web.json_response(
            {"success": True, "blockIndex": command.block_index, "planted": planted, "failed": failed}
        )

    async def complete_work(self, request: web.Request) -> web.Response:
        """`{blockIndex, results: [{farmerId, success, workHash?, nonce?, error?}], poolerId?}`: reports of work."""
        body = await read_body(request, _MAX_REPORTS_BYTES)
        pooler_id = field_of(body, "poolerId", str, _DEFAULT_POOLER)
        block_index = field_of(body, "blockIndex", int)
        results = field_of(body, "results", list)
        reports = [_report(pooler_id, block_index, result) for result in results]
        refused = []
        for report in reports:
            answer = await self._working.report(report)
            if answer.outcome not in _COUNTED and answer.failure is not None:
                refused.append(
                    {
                        "farmerId": str(report.farmer_id),
                        "error": answer.failure.reason.value,
                        "message": answer.failure.message,
                    }
                )
        message = "Work results recorded" if not refused else f"{len(refused)} of {len(reports)} results refused"
        return web.json_response(
            {"success": not refused, "message": message, "refused": refused}, status=400 if refused else 200
        )

    async def health(self, request: web.Request) -> web.Response:
        """`{status, database, stellar, activeFarmers}`; 503 if one of them is out of reach."""
        del request
        status = await self._board.status()
        parts = {
            component.name: "disconnected" if component.health is Health.DOWN else "connected"
            for component in status.components
            if component.name in _HEALTH_PARTS
        }
        healthy = bool(parts) and status.health is not Health.DOWN
        body = {
            "status": "healthy" if healthy else "unhealthy",
            **parts,
            "activeFarmers": status.counts.active_farmers,
        }
        return web.json_response(body, status=200 if healthy else 503)


def _planted(event: PlantEvent) -> dict[str, Any]:
    plant = event.plant
    return {
        "farmerId": str(plant.farmer_id),
        "walletAddress": plant.address,
        "stakeAmount": str(plant.stake_stroops),
        "ledgerSequence": plant.ledger,
        "transactionHash": plant.transaction_hash,
    }


def _failed(event: PlantEvent) -> dict[str, Any]:
    failure = event.plant.failure or Failure(FailureReason.INTERNAL, "the plant failed")
    return {"farmerId": str(event.plant.farmer_id), "error": failure.reason.value, "message": failure.message}


def _report(pooler_id: str, block_index: int, result: Any) -> WorkReport:
    """One of the results; its report id follows from pooler, block and farmer, so that a repeat is a duplicate."""
    if not isinstance(result, dict):
        raise InvalidRequestError("results", "each must be an object")
    farmer_id = field_of(result, "farmerId", str)
    if not field_of(result, "success", bool):
        text = field_of(result, "error", str, "timeout")
        return requests.failed_report(
            report_id=f"{pooler_id}:{block_index}:{farmer_id}:failed",
            pooler_id=pooler_id,
            block_index=block_index,
            farmer_id=farmer_id,
            failure=Failure(_reason(text), text),
        )
    work_hash = field_of(result, "workHash", str)
    return requests.work_report(
        report_id=f"{pooler_id}:{block_index}:{farmer_id}:{work_hash[:16]}",
        pooler_id=pooler_id,
        block_index=block_index,
        farmer_id=farmer_id,
        work_hash=work_hash,
        nonce=_nonce(result),
    )


def _reason(text: str) -> FailureReason:
    try:
        return FailureReason(text)
    except ValueError:
        return FailureReason.INTERNAL


def _nonce(result: Body) -> int | None:
    text = result.get("nonce")
    if text is None:
        return None
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()):
        raise InvalidRequestError("nonce", "must be a decimal number written as a string")
    return int(text)


@web.middleware
async def _translate_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BackendError as error:
        return _error(HTTP_STATUS[status_of(error)], error.reason, str(error), _headers(error))
    except web.HTTPException as error:
        return _error(error.status, error.reason.upper().replace(" ", "_"), error.text or error.reason)
    except Exception:  # noqa: BLE001  (the last line before the caller; the log has what happened)
        _log.exception("a fault of the program in a request", path=request.path)
        return _error(500, "INTERNAL", "a fault of the service; its log has the details")


def _error(status: int, reason: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"success": False, "error": reason, "message": message}
    return web.json_response(body, status=status, headers=headers)


def _headers(error: BackendError) -> Mapping[str, str]:
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(math.ceil(error.retry_after_seconds))}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthenticatedError) else {}
