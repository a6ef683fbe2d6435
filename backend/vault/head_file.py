"""The file beside the sealing key that remembers how far the database has come: a restored one is told by it."""

import asyncio
import json
import os
from pathlib import Path

from backend.domain.audit import ChainHead
from backend.domain.lease import Head, Incarnation
from backend.errors import HeadFileError
from backend.vault.key_file import sync_folder


class HeadFile:
    """HeadRecord in a JSON file, replaced as a whole and made durable at every write.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> Head | None:
        """The head last written; None if there is no file.

        Raises:
            HeadFileError: the file is unreadable or malformed.
        """
        try:
            values = json.loads(await asyncio.to_thread(self._path.read_text, encoding="utf-8"))
            return Head(
                Incarnation(int(values["system_identifier"]), int(values["timeline"])),
                position=int(values["position"]),
                event=int(values["event"]),
                fence=int(values["fence"]),
                chain=ChainHead(int(values["link_number"]), bytes.fromhex(values["link_hash"])),
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HeadFileError(self._path, f"cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            problem = "is malformed; restore it, or remove it: the backend then begins with a quarantine"
            raise HeadFileError(self._path, problem) from None

    async def write(self, head: Head) -> None:
        """Replaces what the file holds.

        Raises:
            HeadFileError: it cannot be written.
        """
        values = {
            "system_identifier": head.incarnation.system_identifier,
            "timeline": head.incarnation.timeline,
            "position": head.position,
            "event": head.event,
            "fence": head.fence,
            "link_number": head.chain.number,
            "link_hash": head.chain.hash.hex(),
        }
        try:
            await asyncio.to_thread(self._replace, json.dumps(values, indent=2) + "\n")
        except OSError as error:
            raise HeadFileError(self._path, f"cannot be written: {error.strerror}") from None

    def _replace(self, text: str) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_folder(self._path.parent)
