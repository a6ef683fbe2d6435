"""Looking into a restored database: the books, and whether a farmer's key opens."""

from dataclasses import dataclass
from datetime import datetime

from backend.backup.settings import DrillSettings
from backend.backup.tools import at_server
from backend.db.backups import contents
from backend.db.database import Database
from backend.db.money import SqlMoneyStore
from backend.services.checking import summary

_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Examination:
    """What a restored database is like.

    Attributes:
        farmers: Its farmers.
        last_event_at: When its last event was recorded; None if there is none.
        books: What the books' check found wrong; None if nothing.
        canary: The address of the farmer whose key was opened; None if there was none to open.
    """

    farmers: int
    last_event_at: datetime | None
    books: str | None
    canary: str | None


async def examine(settings: DrillSettings, port: int) -> Examination:
    """Looks into the restored database that is served at a port of this machine.

    Raises:
        BackendError: It cannot be read, its schema is another program's, or a farmer's key does not open.
    """
    database = Database(at_server(settings.database_url.get_secret_value(), port), max_connections=_CONNECTIONS)
    try:
        await database.check(owner_allowed=True)
        held = await contents(database)
        _, violations = await SqlMoneyStore(database).check()
    finally:
        await database.close()
    canary = None if held.canary is None else settings.seeds().signer(held.canary).address
    return Examination(held.farmers, held.last_event_at, summary(violations) if violations else None, canary)
