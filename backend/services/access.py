"""What every service that acts on the ledger needs, in one bundle."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from backend.domain.staking import Economy
from backend.ports.chain import ChainReader, TransactionFactory
from backend.services.budget import Budget
from backend.services.finishing import Finishing
from backend.services.following import FarmWatch
from backend.services.gate import Gate
from backend.services.submitting import Submitting


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """Reading the ledger, building transactions, submitting them, knowing what closed last and whether to sign.

    `promising` is held while it is decided what of farmers' balances is staked or set aside, until that is stored: else
    a withdrawal could come between a plan and its storing, and everybody's plants would be refused and planned anew.
    """

    reader: ChainReader
    factory: TransactionFactory
    submitting: Submitting
    watch: FarmWatch
    budget: Budget
    gate: Gate = field(default_factory=Gate)
    promising: asyncio.Lock = field(default_factory=asyncio.Lock)
    economy: Economy = field(default_factory=Economy)
    finishing: Finishing = field(default_factory=Finishing)
