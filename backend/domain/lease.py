"""Which backend may store attempts, and how a database restored to an older point is recognised."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.domain.audit import ChainHead


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Which life of which data folder a database server lives; a restored or promoted one lives another."""

    system_identifier: int
    """Drawn when the data folder was made."""
    timeline: int
    """Counts the recoveries and promotions of its write-ahead log."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a database has come. It is recorded outside the database as well."""

    incarnation: Incarnation
    position: int
    """Bytes of its write-ahead log; what was recorded is on disk, and a crash does not take it back."""
    event: int
    """Id of the last row of the audit trail; 0: it is empty."""
    fence: int
    """The lease's fence; 0: no backend has started yet."""
    chain: ChainHead = field(default_factory=lambda: ChainHead(0))
    """The audit trail's last link."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a starting backend took: its attempts carry the fence."""

    fence: int
    epoch: int
    """Counts the incarnations of the database that were seen."""
    restored: str | None = None
    """Why the database is taken for restored to an older point, if it is."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A time in which nothing is signed: what was sent before is not all known."""

    quarantine_id: int
    reason: str
    known_ledger: int | None
    """Later ledgers are read again; None: the database holds no attempts, so nothing of ours can have been sent."""
    began_ledger: int | None
    """The last closed ledger at its beginning; None until the ledger was read."""
    until_ledger: int | None
    """It can end once every ledger up to this one was read."""


def restored(
    recorded: Head | None, leased: Incarnation | None, found: Head, *, linked: bytes | None = None
) -> str | None:
    """Why a database must have been restored to an older point; None if it goes on where it was.

    Args:
        recorded: The head recorded outside the database; None if there is none.
        leased: The incarnation stored in the lease; None if no backend has started yet.
        found: The database as it is now.
        linked: Hash of the link that has the recorded one's number now; None if there is none.
    """
    if recorded is None:
        if leased is None:
            return None
        return "there is no record of its head outside the database, so it cannot be told whether rows are missing"
    for seen in (recorded.incarnation, leased or recorded.incarnation):
        if seen != found.incarnation:
            return f"it is {_named(found.incarnation)}, and was {_named(seen)} when last used"
    measures = (
        ("its lease has fence", found.fence, recorded.fence),
        ("its audit trail ends at event", found.event, recorded.event),
        ("its audit chain ends at link", found.chain.number, recorded.chain.number),
        ("its log ends at byte", found.position, recorded.position),
    )
    behind = next((f"{what} {now}, but had reached {before}" for what, now, before in measures if now < before), None)
    if behind is None and recorded.chain.number and linked != recorded.chain.hash:
        return f"its audit chain has another link {recorded.chain.number} than it had"
    return behind


def _named(incarnation: Incarnation) -> str:
    return f"system {incarnation.system_identifier} on timeline {incarnation.timeline}"
