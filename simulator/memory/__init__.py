"""The stores in memory: a twin of the PostgreSQL ones, held to the same contract by the same tests."""

from simulator.memory.stores import MemoryStores
from simulator.memory.tables import Tables

__all__ = ["MemoryStores", "Tables"]
