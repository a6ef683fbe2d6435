"""What every service that acts on the ledger needs, in one bundle."""

from __future__ import annotations

from dataclasses import dataclass

from backend.ports.chain import ChainReader, TransactionFactory
from backend.services.following import FarmWatch
from backend.services.submitting import Submitting


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """Reading the ledger, building transactions, submitting them, and knowing what closed last."""

    reader: ChainReader
    factory: TransactionFactory
    submitting: Submitting
    watch: FarmWatch
