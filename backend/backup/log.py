"""How old the backups are, by what `kale-backend backup run` notes beside them."""

import time
from pathlib import Path

from backend.backup.shelf import read_status
from backend.errors import BackupError
from backend.ports.backups import BackupAges


class FolderBackupLog:
    """BackupLog over the folder of the backups.

    Args:
        root: BACKUP_DIRECTORY; it need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def ages(self) -> BackupAges:
        """See BackupLog."""
        try:
            status = read_status(self._root)
        except BackupError as error:
            return BackupAges(None, None, None, drill_passed=True, problem=str(error))
        return BackupAges(
            base_seconds=_since(status.base_at),
            log_seconds=_since(status.wal_at),
            drill_seconds=_since(status.drill_at),
            drill_passed=status.drill_passed or not status.drill_at,
            problem=status.problem,
        )


def _since(moment: float) -> float | None:
    return max(0.0, time.time() - moment) if moment else None
