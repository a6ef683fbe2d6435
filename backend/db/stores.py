"""All stores over one database."""

from backend.db.attempts import SqlAttemptStore
from backend.db.database import Database
from backend.db.events import SqlEventStore
from backend.db.farmers import SqlFarmerStore
from backend.db.harvests import SqlHarvestStore
from backend.db.lease import SqlLeaseStore
from backend.db.money import SqlMoneyStore
from backend.db.payouts import SqlWithdrawalStore
from backend.db.plants import SqlPlantStore
from backend.db.poolers import SqlPoolerStore
from backend.db.quarantines import SqlQuarantineStore
from backend.db.statements import SqlStatementStore
from backend.db.tokens import SqlTokenStore
from backend.db.trust import SqlTrustStore
from backend.db.works import SqlWorkStore
from backend.ports.access import TokenStore
from backend.ports.lease import LeaseStore, QuarantineStore
from backend.ports.money import MoneyStore
from backend.ports.poolers import PoolerStore
from backend.ports.statements import StatementStore
from backend.ports.stores import AttemptStore, EventStore, FarmerStore, HarvestStore, PlantStore, WorkStore
from backend.ports.trust import TrustStore
from backend.ports.withdrawals import WithdrawalStore


class SqlStores:
    """See backend.ports.stores.Stores."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.farmers: FarmerStore = SqlFarmerStore(database)
        self.plants: PlantStore = SqlPlantStore(database)
        self.works: WorkStore = SqlWorkStore(database)
        self.harvests: HarvestStore = SqlHarvestStore(database)
        self.attempts: AttemptStore = SqlAttemptStore(database)
        self.events: EventStore = SqlEventStore(database)
        self.money: MoneyStore = SqlMoneyStore(database)
        self.lease: LeaseStore = SqlLeaseStore(database)
        self.withdrawals: WithdrawalStore = SqlWithdrawalStore(database)
        self.quarantines: QuarantineStore = SqlQuarantineStore(database)
        self.tokens: TokenStore = SqlTokenStore(database)
        self.statements: StatementStore = SqlStatementStore(database)
        self.poolers: PoolerStore = SqlPoolerStore(database)
        self.trust: TrustStore = SqlTrustStore(database)

    async def ping(self) -> None:
        """Raises DatabaseUnavailableError if the database does not answer."""
        await self._database.ping()

    async def close(self) -> None:
        """Closes every connection."""
        await self.lease.release()
        await self._database.close()


async def open_stores(url: str, *, max_connections: int, owner_allowed: bool = True) -> SqlStores:
    """Connects to a migrated database. Attempts are refused until `lease.take` was called.

    Args:
        url: postgresql://user:password@host:port/database.
        max_connections: Connections opened at most.
        owner_allowed: Whether a role that owns the tables is only reported; else it is refused.

    Raises:
        DatabaseUnavailableError: it does not answer.
        DatabaseRoleError: the role owns the tables.
        MigrationError: its schema is not this program's.
        BackendError: a setting of the server endangers rows.
    """
    database = Database(url, max_connections=max_connections)
    try:
        await database.check(owner_allowed=owner_allowed)
    except BaseException:
        await database.close()
        raise
    return SqlStores(database)
