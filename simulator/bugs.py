"""Bugs to be planted in the real code, one at a time: what would break a promise, and which check must see it.

Each is a mistake that somebody could make, often one that the code has a rule against.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from backend.chain import factory
from backend.domain import money, outcome
from backend.domain.attempt import RPC_SILENT, Attempt, AttemptKind, AttemptState, is_expired
from backend.domain.failure import Failure, FailureReason
from backend.domain.harvest import OpenPail
from backend.domain.money import BookedPail, Passage, Transfer
from backend.domain.settlement import Effect, HarvestClosed, HarvestConfirmed, PlantFailed, Settlement
from backend.domain.spending import Allowance
from backend.ports.chain import ClosedLedgers
from backend.services import backstop, booking, following, harvesting, proving, submitting
from backend.services.proving import Ended, Proving
from backend.services.submitting import Submitting
from kale_chain import follower
from kale_chain.errors import RpcError
from simulator import payment_bugs
from simulator.errors import Violation
from simulator.memory import attempts, books, effects, events, lease
from simulator.memory.session import Session
from simulator.memory.tables import Tables
from simulator.weather import CALM, Climate

Patch = Callable[[], AbstractContextManager[Any]]

STORMY = Climate(
    rpc_lost_answer=0.04, rpc_refused=0.04, rpc_slow=0.04, send_swallowed=0.06, queue_dropped=0.05, crash=0.001
)
CRASHING = replace(CALM, crash=0.006, database_unacknowledged=0.01, rpc_lost_answer=0.01)
RESTORING = replace(CALM, restore=0.4)
RIVALS = replace(CALM, second_backend=0.5)
STRANGE = replace(CALM, stranger_harvests=0.5, stranger_works=0.3)
UNWORKED = replace(CALM, pooler_bad=1.0)
OWNED = replace(CALM, block_removed=0.1, upgrade=0.1, pause=0.005, queue_dropped=0.02)
HALTING = replace(CALM, halt=0.01, crash=0.0005)
LIED_TO = replace(
    CALM, endpoints=3, lie=0.03, outage=0.01, lag=0.01, send_swallowed=0.05, rpc_lost_answer=0.02, queue_dropped=0.03
)
PAYING = replace(
    CALM,
    withdrawal=0.15,
    replay=0.3,
    exit=0.004,
    restore=0.2,
    crash=0.0015,
    queue_dropped=0.03,
    send_swallowed=0.03,
    rpc_lost_answer=0.02,
    database_unacknowledged=0.01,
)
POOR = replace(CALM, spendable_stroops=2_500_000, harvest_after_blocks=10)
WORLDS: Mapping[str, Climate] = {
    "stormy": STORMY,
    "crashing": CRASHING,
    "restoring": RESTORING,
    "rivals": RIVALS,
    "strange": STRANGE,
    "unworked": UNWORKED,
    "owned": OWNED,
    "halting": HALTING,
    "lied to": LIED_TO,
    "poor": POOR,
    "paying": PAYING,
    "calm": CALM,
}
"""Worlds in which bugs come to light soon. Without a bug nothing is found in them."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug.

    Attributes:
        name: What it is called.
        world: The name of the world it is looked for in.
        patch: Plants it while the context lasts.
        caught_by: The checks of which one must find it.
        says: What the finding must tell, where the check alone does not say that it is this bug.
    """

    name: str
    world: str
    patch: Patch
    caught_by: frozenset[str]
    says: str = ""

    def found(self, violation: Violation | None) -> bool:
        """Whether a violation is this bug's."""
        return violation is not None and violation.check in self.caught_by and self.says in violation.what


_GONE = Failure(FailureReason.EXPIRED, "a planted bug")
_DOUBLE = frozenset({"ended without proof", "double plant", "double harvest"})
_BOOKS = frozenset({"balance", "earnings"})


def _given_up(attempt: Attempt, ledger: int) -> Settlement:
    """An attempt counted as failed without proof."""
    gone = (PlantFailed(attempt.intent_id, _GONE),) if attempt.kind is AttemptKind.PLANT else ()
    return Settlement(attempt.hash, AttemptState.FAILED, ledger, "given up", None, gone)


def _time_out_is_failure() -> AbstractContextManager[Any]:
    send = Submitting._send  # noqa: SLF001

    async def patched(self: Submitting, attempt: Attempt) -> None:
        await send(self, attempt)
        if self._refusals.get(attempt.hash) == RPC_SILENT and attempt.hash in self._open:
            await self._attempts.settle([_given_up(attempt, self._closed + 1)])
            self._open.pop(attempt.hash, None)

    return mock.patch.object(Submitting, "_send", patched)


def _refusal_is_failure() -> AbstractContextManager[Any]:
    send = Submitting._send  # noqa: SLF001

    async def patched(self: Submitting, attempt: Attempt) -> None:
        await send(self, attempt)
        if self._refusals.get(attempt.hash, RPC_SILENT) != RPC_SILENT and attempt.hash in self._open:
            await self._attempts.settle([_given_up(attempt, self._closed + 1)])
            self._open.pop(attempt.hash, None)

    return mock.patch.object(Submitting, "_send", patched)


def _not_found_is_failure() -> AbstractContextManager[Any]:
    ended = Proving.ended

    async def patched(
        self: Proving, update: ClosedLedgers, open_ones: Collection[Attempt], refusals: Mapping[bytes, str]
    ) -> list[Ended]:
        found = await ended(self, update, open_ones, refusals)
        known = {end.attempt.hash for end in found}
        ledger = update.last.sequence
        lost = [one for one in open_ones if one.hash not in known and ledger > one.created_ledger]
        return [*found, *(Ended(one, _given_up(one, ledger)) for one in lost)]

    return mock.patch.object(Proving, "ended", patched)


def _saved_after_sending() -> AbstractContextManager[Any]:
    async def patched(self: harvesting.Harvesting, pails: Sequence[OpenPail], view: Any) -> None:
        async with self._channels.lend(len(pails)) as channels:
            made = [
                self._attempt(pail, channel, view.ledger.sequence)
                for pail, channel in zip(pails, channels, strict=False)
            ]
            if made:
                await self._submitting.submit(made)
                await self._harvests.begin(made)

    return mock.patch.object(harvesting.Harvesting, "_harvest", patched)


def _restart_builds_anew() -> AbstractContextManager[Any]:
    load = Submitting.load

    async def patched(self: Submitting) -> int | None:
        oldest = await load(self)
        if not self._closed and self._open:
            await self._attempts.settle([_given_up(one, one.created_ledger + 1) for one in self._open.values()])
            self._open.clear()
        return oldest

    return mock.patch.object(Submitting, "load", patched)


def _restart_forgets() -> AbstractContextManager[Any]:
    async def patched(self: Submitting) -> int | None:
        self._stale = False
        return None

    return mock.patch.object(Submitting, "load", patched)


def _restart_follows_from_now() -> AbstractContextManager[Any]:
    start = following.Following.start

    async def patched(self: following.Following) -> int:
        await start(self)
        return (await self._feed.last()).sequence

    return mock.patch.object(following.Following, "start", patched)


def _effect_twice() -> AbstractContextManager[Any]:
    """What is final is ended again by whatever ends it a second time: no rule keeps a reward from being added twice."""
    confirm = effects._confirm_harvest  # noqa: SLF001

    def patched(tables: Tables, effect: HarvestConfirmed) -> None:
        confirm(tables, effect)
        row = tables.harvests.get(effect.harvest_id)
        farmer = tables.farmers.get(row.farmer_id) if row else None
        if farmer is not None:
            earned = farmer.earned + effect.reward_stroops
            tables.farmers.put(farmer.key.farmer_id, replace(farmer, earned=earned))

    return mock.patch.dict(effects._APPLY, {HarvestConfirmed: patched})  # noqa: SLF001


def _no_quarantine() -> AbstractContextManager[Any]:
    return mock.patch.object(lease, "restored", return_value=None)


def _wall_clock_expiry() -> AbstractContextManager[Any]:
    seen: dict[bytes, float] = {}

    def patched(attempt: Attempt, _closed: int) -> bool:
        now = asyncio.get_running_loop().time()
        return now - seen.setdefault(attempt.hash, now) > 30.0  # noqa: PLR2004

    return mock.patch.object(proving, "is_expired", patched)


def _early_expiry() -> AbstractContextManager[Any]:
    """One ledger too early, and said to be proven: the last ledger that could take it was not read."""

    def patched(attempt: Attempt, closed: int) -> bool:
        return is_expired(attempt, closed + submitting.LEDGER_WINDOW - 1)

    def settled(attempt: Attempt, _ledger: int, refusal: str | None) -> Settlement:
        return outcome.expiry_of(attempt, attempt.max_ledger, refusal)

    return _all(mock.patch.object(proving, "is_expired", patched), mock.patch.object(proving, "expiry_of", settled))


def _fence_off() -> AbstractContextManager[Any]:
    async def renew(_self: object) -> None:
        return

    return _all(
        mock.patch.object(attempts, "_check_fence", return_value=None),
        mock.patch.object(Session, "hold_lease", return_value=None),
        mock.patch.object(lease.MemoryLeaseStore, "renew", renew),
    )


def _never_expires() -> AbstractContextManager[Any]:
    return mock.patch.object(proving, "is_expired", return_value=False)


def _result_read_short() -> AbstractContextManager[Any]:
    next_update = follower.LedgerFollower._next  # noqa: SLF001

    async def patched(self: follower.LedgerFollower, after: int) -> Any:
        update = await next_update(self, after)
        if update is None:
            return None
        last = update.last.sequence
        kept = {key: one for key, one in update.transactions.items() if one.ledger < last or last % 3}
        return replace(update, transactions=kept)

    return mock.patch.object(follower.LedgerFollower, "_next", patched)


def _ledgers_skipped_after_a_fault() -> AbstractContextManager[Any]:
    next_update = follower.LedgerFollower._next  # noqa: SLF001

    async def patched(self: follower.LedgerFollower, after: int) -> Any:
        try:
            return await next_update(self, after)
        except RpcError:
            latest = await self._rpc.latest_ledger()
            return await next_update(self, max(after, latest.sequence - 1))

    return mock.patch.object(follower.LedgerFollower, "_next", patched)


def _no_backstop() -> AbstractContextManager[Any]:
    return mock.patch.object(backstop.Backstop, "act", _does_nothing)


def _harvests_booked_twice() -> AbstractContextManager[Any]:
    """What a harvest brought is booked for twice as much."""
    transfer = money.ending_transfer

    def patched(pail: BookedPail, **rest: Any) -> Transfer:
        made = transfer(pail, **rest)
        return replace(made, legs={account: 2 * stroops for account, stroops in made.legs.items()})

    return mock.patch.object(books, "ending_transfer", patched)


def _strangers_harvest_unbooked() -> AbstractContextManager[Any]:
    """Only what our own transactions did is booked."""
    read = booking.Booking.read

    async def patched(self: booking.Booking, update: ClosedLedgers) -> Passage:
        return replace(await read(self, update), effects=())

    def taken(pail: OpenPail, *_: Any) -> Effect:
        return HarvestClosed(pail.harvest_id, lost=False, failure=_GONE)

    return _all(mock.patch.object(booking.Booking, "read", patched), mock.patch.object(harvesting, "_ending", taken))


def _other_stake_signed() -> AbstractContextManager[Any]:
    plant = factory.KaleTransactionFactory.plant

    async def patched(self: factory.KaleTransactionFactory, key: Any, *, stake: int, **rest: Any) -> Any:
        return await plant(self, key, stake=stake + 1, **rest)

    return mock.patch.object(factory.KaleTransactionFactory, "plant", patched)


def _stake_counted_as_reward() -> AbstractContextManager[Any]:
    harvest = outcome._APPLIED[AttemptKind.HARVEST]  # noqa: SLF001

    def patched(attempt: Attempt, result: Any) -> Sequence[Effect]:
        made = harvest(attempt, result)
        return [replace(e, reward_stroops=e.reward_stroops + 1) if isinstance(e, HarvestConfirmed) else e for e in made]

    return mock.patch.dict(outcome._APPLIED, {AttemptKind.HARVEST: patched})  # noqa: SLF001


def _settling_unfenced() -> AbstractContextManager[Any]:
    return mock.patch.object(Session, "hold_lease", return_value=None)


def _witnesses_unasked() -> AbstractContextManager[Any]:
    async def patched(_self: Proving, attempts: Sequence[Attempt]) -> set[bytes]:
        return {attempt.hash for attempt in attempts}

    return mock.patch.object(Proving, "_absent", patched)


def _harvests_unreserved() -> AbstractContextManager[Any]:
    """Plants are paid from what the harvests of open pails will need."""
    refuses = Allowance.refuses_plant

    def patched(self: Allowance, max_fee: int) -> str | None:
        self.open_pails, self.harvest_fee = 0, 0
        return refuses(self, max_fee)

    return mock.patch.object(Allowance, "refuses_plant", patched)


def _upgrade_unfollowed() -> AbstractContextManager[Any]:
    return mock.patch.object(factory.KaleTransactionFactory, "follow", return_value=None)


def _never_harvests() -> AbstractContextManager[Any]:
    return mock.patch.object(harvesting, "due", return_value=[])


def _audit_unlinked() -> AbstractContextManager[Any]:
    return mock.patch.object(events, "link_hash", lambda _previous, number, _content: number.to_bytes(32, "big"))


async def _does_nothing(_self: object) -> None:
    return


@contextmanager
def _all(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


def _bug(world: str, patch: Patch, *caught_by: str, also: frozenset[str] = frozenset(), says: str = "") -> Bug:
    return Bug(patch.__name__.strip("_").replace("_", " "), world, patch, frozenset(caught_by) | also, says)


BUGS: Sequence[Bug] = (
    _bug("stormy", _time_out_is_failure, also=_DOUBLE),
    _bug("stormy", _refusal_is_failure, also=_DOUBLE),
    _bug("stormy", _not_found_is_failure, also=_DOUBLE),
    _bug("calm", _saved_after_sending, "sent before stored"),
    _bug("crashing", _restart_builds_anew, also=_DOUBLE),
    _bug("crashing", _restart_forgets, "open past proof", "life ended", "not harvested"),
    _bug("crashing", _restart_follows_from_now, also=_DOUBLE | _BOOKS),
    _bug("calm", _effect_twice, also=_BOOKS),
    _bug("restoring", _no_quarantine, "signed after a restore"),
    _bug("stormy", _wall_clock_expiry, "program fault", says="attempts_expiry_proven"),
    _bug("stormy", _early_expiry, also=_DOUBLE),
    _bug("rivals", _fence_off, "two backends"),
    _bug("stormy", _never_expires, "open past proof", "harvest wrongly pending"),
    _bug("calm", _result_read_short, also=_DOUBLE),
    _bug("stormy", _ledgers_skipped_after_a_fault, also=_DOUBLE | _BOOKS),
    _bug("unworked", _no_backstop, "stake lost"),
    _bug("calm", _harvests_booked_twice, also=_BOOKS),
    _bug("strange", _strangers_harvest_unbooked, "harvest wrongly failed", also=_BOOKS),
    _bug("calm", _other_stake_signed, "plant without pail", "wrong stake"),
    _bug("calm", _stake_counted_as_reward, also=_BOOKS),
    _bug("calm", _never_harvests, "not harvested", "never harvested", "life ended"),
    _bug("calm", _audit_unlinked, "audit chain"),
    _bug("rivals", _settling_unfenced, "settled without the lease"),
    _bug("lied to", _witnesses_unasked, also=_DOUBLE),
    _bug("poor", _harvests_unreserved, "not harvested", "never harvested", "life ended"),
    _bug("owned", _upgrade_unfollowed, "stake lost", "not harvested", "never harvested", "life ended"),
    _bug("paying", payment_bugs.key_ignored, "other withdrawal", "unasked payment"),
    _bug("paying", payment_bugs.payment_unrecognised, "paid twice"),
    _bug("paying", payment_bugs.one_stroop_more, "wrong payment"),
    _bug("paying", payment_bugs.paid_counted_as_failed, "withdrawal wrongly failed"),
    _bug("paying", payment_bugs.exit_before_its_harvests, "not harvested", "never harvested", "life ended"),
)
