"""What goes wrong, decided by dice: single calls that fail, and spells of bad weather that last for ledgers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

_SEND = "sendTransaction"


def dice(seed: int | str, name: str) -> random.Random:
    """Dice of their own for one purpose, so that what one purpose rolls does not change another's luck."""
    return random.Random(f"{seed}/{name}")  # noqa: S311 - a simulation must be repeatable


@dataclass(frozen=True, slots=True)
class Climate:
    """How often things go wrong; each number is a chance for each call, transaction, ledger or block."""

    rpc_refused: float = 0.01
    rpc_rate_limited: float = 0.003
    rpc_lost_answer: float = 0.006
    rpc_slow: float = 0.01
    send_swallowed: float = 0.01
    database_refused: float = 0.002
    database_unacknowledged: float = 0.002
    crash: float = 0.00025
    """At each step of the backend: before and after each call and transaction."""
    outage: float = 0.004
    """Each ledger: the RPC answers nothing for some ledgers."""
    database_outage: float = 0.002
    lag: float = 0.006
    queue_dropped: float = 0.01
    fee_spike: float = 0.004
    pause: float = 0.001
    second_backend: float = 0.06
    """Each block: another backend starts while one runs."""
    clean_restart: float = 0.04
    restore: float = 0.02
    pail_expired: float = 0.002
    halt: float = 0.0003
    """Each ledger: none closes for hours."""
    lie: float = 0.0
    """Each ledger: one endpoint of several hides the pool's transactions for some ledgers."""
    block_removed: float = 0.002
    """Each block: the farm's owner removes an older one."""
    upgrade: float = 0.002
    """Each block: the farm gets new code."""
    stranger_works: float = 0.04
    stranger_harvests: float = 0.08
    stranger_opens: float = 0.1
    pooler_bad: float = 0.2
    """Each block: the pooler is silent, late, lying or absent."""
    withdrawal: float = 0.02
    """Each ledger: some farmer's KALE is asked for."""
    replay: float = 0.05
    """Each ledger: what was asked for is asked for once more."""
    exit: float = 0.0003
    """Each ledger: a farmer leaves."""
    harvest_after_blocks: int = 2
    endpoints: int = 1
    """RPC endpoints."""
    spendable_stroops: int | None = None
    """Of XLM, that the master account may spend from the first block on; None: as much as there is."""


_LASTING = frozenset({"endpoints", "spendable_stroops", "harvest_after_blocks"})
"""What a world is like in any weather."""


def calmed(climate: Climate) -> Climate:
    """The same world, where nothing goes wrong."""
    chances: dict[str, Any] = dict.fromkeys(set(Climate.__slots__) - _LASTING, 0.0)
    return replace(climate, **chances)


CALM = calmed(Climate())
"""Nothing goes wrong."""


@dataclass(frozen=True, slots=True)
class Wind:
    """What happens to one call of the RPC."""

    seconds_before: float = 0.0
    refused: bool = False
    rate_limited: bool = False
    retry_after: float | None = None
    swallowed: bool = False
    """A transaction is acknowledged and forgotten."""
    lost_answer: bool = False

    @property
    def fair(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.refused or self.rate_limited or self.swallowed or self.lost_answer)


@dataclass
class Weather:
    """The weather between a backend and the rest.

    Attributes:
        climate: How often things go wrong.
        rpc_down: The RPC answers nothing.
        database_down: The database answers nothing.
        struck: Counts what went wrong with calls and transactions.
    """

    climate: Climate
    rolls: random.Random
    rpc_down: bool = False
    database_down: bool = False
    struck: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def call(self, method: str) -> Wind:
        """What happens to a call of the RPC."""
        latency = self.rolls.uniform(0.02, 0.2)
        if self.rpc_down:
            return self._noted("rpc down", Wind(latency, refused=True))
        luck, climate = self.rolls.random(), self.climate
        for chance, kind, wind in (
            (climate.rpc_refused, "refused", Wind(latency, refused=True)),
            (climate.rpc_rate_limited, "rate limited", Wind(latency, rate_limited=True, retry_after=7.0)),
            (climate.rpc_lost_answer, "answer lost", Wind(latency, lost_answer=True)),
            (climate.rpc_slow, "slow", Wind(self.rolls.uniform(5.0, 40.0))),
            (climate.send_swallowed if method == _SEND else 0.0, "swallowed", Wind(latency, swallowed=True)),
        ):
            if luck < chance:
                return self._noted(kind, wind)
            luck -= chance
        return Wind(latency)

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether something of this kind goes wrong now."""
        if chance > 0 and self.rolls.random() < chance:
            self.note(kind)
            return True
        return False

    def note(self, kind: str) -> None:
        """Counts what went wrong."""
        self.struck += 1
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1

    def _noted(self, kind: str, wind: Wind) -> Wind:
        self.note(kind)
        return wind
