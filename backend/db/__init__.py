"""PostgreSQL: migrations and the stores, over SQLAlchemy Core and psycopg."""

from backend.db.migrations import migrate
from backend.db.stores import SqlStores, open_stores

__all__ = ["SqlStores", "migrate", "open_stores"]
