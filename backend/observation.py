"""Watching over the backend: metrics, alarms and the routes that show them, wired."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from backend.api.metrics import BackendMetrics
from backend.api.observing import ObservingRoutes
from backend.backup.log import FolderBackupLog
from backend.config import Settings
from backend.notify.webhook import Webhook
from backend.services.alarming import Alarming
from backend.services.following import repeat
from backend.services.vitals import LOOK_SECONDS, VitalSigns
from kale_common.metrics import registry

if TYPE_CHECKING:
    from backend.app import Parts


class Observation:
    """What watches over the services of a backend.

    Attributes:
        alarming: The alarms.
        routes: Routes for those who watch.
    """

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._watch = parts.chain.watch
        places = {"keys": settings.key_file.absolute().parent}
        if settings.backup_directory is not None:
            places["backups"] = settings.backup_directory
        signs = VitalSigns(
            parts.stores,
            parts.chain,
            parts.board,
            parts.attending,
            parts.tally,
            places=places,
            backups=FolderBackupLog(settings.backup_directory) if settings.backup_directory is not None else None,
        )
        configured = settings.webhook()
        self._webhook = None if configured is None else Webhook(*configured, network=settings.stellar_network)
        self.alarming = Alarming(signs, parts.tally, self._webhook)
        metrics = BackendMetrics(signs, parts.tally, self.alarming, parts.chain.submitting, parts.endpoints)
        self.routes = ObservingRoutes(parts.board, self.alarming, registry(metrics))

    def tasks(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs for ever, by name."""
        looking = repeat("alarms", self._watch, self.alarming.act, seconds=LOOK_SECONDS)
        posting = [] if self._webhook is None else [("webhook", self._webhook.run())]
        return [("alarms", looking), *posting]
