"""Routes for those who watch the service: metrics, liveness, readiness."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry

from backend.services.alarming import Alarming
from backend.services.status import Health, StatusBoard
from kale_common.metrics import CONTENT_TYPE, exposition


class ObservingRoutes:
    """GET /metrics, /livez and /readyz."""

    def __init__(self, board: StatusBoard, alarming: Alarming, registry: CollectorRegistry) -> None:
        self._board = board
        self._alarming = alarming
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/metrics", self.metrics),
            web.get("/livez", self.live),
            web.get("/readyz", self.ready),
        ]

    async def metrics(self, request: web.Request) -> web.Response:
        """What Prometheus reads."""
        del request
        return web.Response(body=exposition(self._registry), headers={"Content-Type": CONTENT_TYPE})

    async def live(self, request: web.Request) -> web.Response:
        """200 while the program runs; whoever gets no answer restarts it."""
        del request
        return web.json_response({"live": True})

    async def ready(self, request: web.Request) -> web.Response:
        """200 while nothing it depends on is down; 503 with what is."""
        del request
        down = [one.name for one in self._board.components if one.health is Health.DOWN]
        ready = bool(self._board.components) and not down
        body = {"ready": ready, "down": down, "alarms": sorted(self._alarming.active)}
        return web.json_response(body, status=200 if ready else 503)
