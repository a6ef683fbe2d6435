"""Bugs to be planted in the real code, one at a time: what would break a promise, and which check must see it.

Each is a mistake that somebody could make, often one that the code has a rule against.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from backend.chain import factory, reader
from backend.domain import outcome
from backend.domain.attempt import Attempt, AttemptKind, AttemptState, is_expired
from backend.domain.failure import Failure, FailureReason
from backend.domain.harvest import OpenPail
from backend.domain.plant import PlantEvent, PlantRequest
from backend.domain.settlement import Effect, HarvestClosed, HarvestConfirmed, PlantFailed, Settlement
from backend.ports.chain import ClosedLedgers, PailKey
from backend.services import backstop, following, harvesting, planting, proving, recovering, submitting
from backend.services.planting import PlantSummary
from backend.services.proving import Ended, Proving
from backend.services.submitting import Submitting
from kale_chain import follower
from kale_chain.errors import RpcError
from kale_chain.model import PailEntry
from simulator.memory import attempts, effects, events, lease, plants
from simulator.weather import CALM, Climate

Patch = Callable[[], AbstractContextManager[Any]]

STORMY = Climate(
    rpc_lost_answer=0.04, rpc_refused=0.04, rpc_slow=0.04, send_swallowed=0.06, queue_dropped=0.05, crash=0.001
)
CRASHING = replace(CALM, crash=0.006, database_unacknowledged=0.01, rpc_lost_answer=0.01)
RESTORING = replace(CALM, restore=0.4)
RIVALS = replace(CALM, second_backend=0.5)
LAGGING = replace(CALM, lag=0.2, stranger_harvests=0.2)
STRANGE = replace(CALM, stranger_harvests=0.5, stranger_works=0.3)
UNWORKED = replace(CALM, pooler_bad=1.0)
WORLDS: Mapping[str, Climate] = {
    "stormy": STORMY,
    "crashing": CRASHING,
    "restoring": RESTORING,
    "rivals": RIVALS,
    "lagging": LAGGING,
    "strange": STRANGE,
    "unworked": UNWORKED,
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
    """

    name: str
    world: str
    patch: Patch
    caught_by: frozenset[str]


_GONE = Failure(FailureReason.EXPIRED, "a planted bug")
_DOUBLE = frozenset({"double plant", "double harvest", "harvest wrongly pending", "pail without row", "program fault"})
_BOOKS = frozenset({"balance", "earnings"})


def _given_up(attempt: Attempt, ledger: int) -> Settlement:
    """An attempt counted as failed without proof."""
    gone = (PlantFailed(attempt.intent_id, _GONE),) if attempt.kind is AttemptKind.PLANT else ()
    return Settlement(attempt.hash, AttemptState.FAILED, ledger, "given up", None, gone)


def _time_out_is_failure() -> AbstractContextManager[Any]:
    send = Submitting._send  # noqa: SLF001

    async def patched(self: Submitting, attempt: Attempt) -> None:
        sends = self._sends[attempt.hash]
        await send(self, attempt)
        unheard = attempt.hash not in self._accepted and attempt.hash not in self._refusals
        if self._sends[attempt.hash] > sends and unheard and attempt.hash in self._open:
            await self._attempts.settle([_given_up(attempt, self._closed + 1)])
            self._open.pop(attempt.hash, None)

    return mock.patch.object(Submitting, "_send", patched)


def _refusal_is_failure() -> AbstractContextManager[Any]:
    send = Submitting._send  # noqa: SLF001

    async def patched(self: Submitting, attempt: Attempt) -> None:
        await send(self, attempt)
        if attempt.hash in self._refusals and attempt.hash in self._open:
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


@contextmanager
def _effect_twice() -> Iterator[None]:
    """Neither rule holds: an attempt that ended, and an intent that is final, are booked once more."""
    settle = attempts.MemoryAttemptStore.settle
    confirm = effects._confirm_harvest  # noqa: SLF001

    async def patched(self: attempts.MemoryAttemptStore, settlements: Sequence[Settlement], *rest: Any) -> None:
        await settle(self, settlements, *rest)
        async with self._session.transaction() as tables:
            for effect in (effect for one in settlements for effect in one.effects):
                row = tables.harvests.get(effect.harvest_id) if isinstance(effect, HarvestConfirmed) else None
                farmer = tables.farmers.get(row.farmer_id) if row else None
                if farmer is not None and isinstance(effect, HarvestConfirmed):
                    earned = farmer.earned + effect.reward_stroops
                    tables.farmers.put(farmer.key.farmer_id, replace(farmer, earned=earned))

    del confirm
    with mock.patch.object(attempts.MemoryAttemptStore, "settle", patched):
        yield


def _no_quarantine() -> AbstractContextManager[Any]:
    return mock.patch.object(lease, "restored", lambda *_: None)


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

    return _both(mock.patch.object(proving, "is_expired", patched), mock.patch.object(proving, "expiry_of", settled))


def _fence_off() -> AbstractContextManager[Any]:
    async def renew(_self: object) -> None:
        return

    return _both(
        mock.patch.object(attempts, "_check_fence", lambda *_: None),
        mock.patch.object(lease.MemoryLeaseStore, "renew", renew),
    )


def _never_expires() -> AbstractContextManager[Any]:
    return mock.patch.object(proving, "is_expired", lambda *_: False)


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


def _adopts_nothing() -> AbstractContextManager[Any]:
    async def nothing(*_: Any, **__: Any) -> int:
        return 0

    return _both(
        mock.patch.object(recovering.Recovering, "sweep", nothing),
        mock.patch.object(plants.MemoryPlantStore, "adopt", nothing),
    )


def _no_backstop() -> AbstractContextManager[Any]:
    return mock.patch.object(backstop.Backstop, "act", _does_nothing)


def _strangers_harvest_booked_double() -> AbstractContextManager[Any]:
    found = harvesting.Harvesting._harvested_by_others  # noqa: SLF001

    async def patched(self: harvesting.Harvesting, pails: Sequence[OpenPail]) -> list[Effect]:
        made = await found(self, pails)
        return [replace(e, reward_stroops=2 * e.reward_stroops) if isinstance(e, HarvestConfirmed) else e for e in made]

    return mock.patch.object(harvesting.Harvesting, "_harvested_by_others", patched)


def _strangers_harvest_unbooked() -> AbstractContextManager[Any]:
    async def patched(_self: object, pails: Sequence[OpenPail]) -> list[Effect]:
        return [HarvestClosed(pail.harvest_id, lost=False, failure=_GONE) for pail in pails]

    return mock.patch.object(harvesting.Harvesting, "_harvested_by_others", patched)


def _missing_pail_is_lost() -> AbstractContextManager[Any]:
    def patched(_pail: OpenPail, entry: PailEntry | None, **_: Any) -> Failure | None:
        return _GONE if entry is None else None

    return mock.patch.object(harvesting, "loss", patched)


def _unworked_pail_is_lost_too_early() -> AbstractContextManager[Any]:
    """Whoever lags is believed: the answer counts as of now."""
    pails = reader.RpcChainReader.pails

    async def patched(self: reader.RpcChainReader, keys: Sequence[PailKey]) -> tuple[int, Mapping[PailKey, PailEntry]]:
        _, found = await pails(self, keys)
        return 2**31, found

    return mock.patch.object(reader.RpcChainReader, "pails", patched)


def _other_stake_signed() -> AbstractContextManager[Any]:
    plant = factory.KaleTransactionFactory.plant

    def patched(self: factory.KaleTransactionFactory, key: Any, *, stake: int, **rest: Any) -> Any:
        return plant(self, key, stake=stake + 1, **rest)

    return mock.patch.object(factory.KaleTransactionFactory, "plant", patched)


def _booked_apart() -> AbstractContextManager[Any]:
    """The end and what it brings about are two transactions of the database."""
    settle = attempts.MemoryAttemptStore.settle

    async def patched(self: attempts.MemoryAttemptStore, settlements: Sequence[Settlement], *rest: Any) -> None:
        await settle(self, [replace(one, effects=()) for one in settlements], *rest)
        await self.apply([effect for one in settlements for effect in one.effects])

    return mock.patch.object(attempts.MemoryAttemptStore, "settle", patched)


def _stake_counted_as_reward() -> AbstractContextManager[Any]:
    harvest = outcome._APPLIED[AttemptKind.HARVEST]  # noqa: SLF001

    def patched(attempt: Attempt, result: Any) -> Sequence[Effect]:
        made = harvest(attempt, result)
        return [replace(e, reward_stroops=e.reward_stroops + 1) if isinstance(e, HarvestConfirmed) else e for e in made]

    return mock.patch.dict(outcome._APPLIED, {AttemptKind.HARVEST: patched})  # noqa: SLF001


def _never_harvests() -> AbstractContextManager[Any]:
    return mock.patch.object(harvesting, "due", lambda *_, **__: [])


def _audit_unlinked() -> AbstractContextManager[Any]:
    return mock.patch.object(events, "link_hash", lambda _previous, number, _content: number.to_bytes(32, "big"))


def _stream_repeats() -> AbstractContextManager[Any]:
    async def patched(
        self: planting.Planting, request: PlantRequest, after: int
    ) -> AsyncIterator[PlantEvent | PlantSummary]:
        while True:
            seen = self._rows.count
            page = await self._plants.events(request.request_id, after)
            for event in page.events:
                yield event
            if page.complete:
                return
            await self._rows.after(seen)

    return mock.patch.object(planting.Planting, "events", patched)


async def _does_nothing(_self: object) -> None:
    return


@contextmanager
def _both(first: AbstractContextManager[Any], second: AbstractContextManager[Any]) -> Iterator[None]:
    with first, second:
        yield


def _bug(world: str, patch: Patch, *caught_by: str, also: frozenset[str] = frozenset()) -> Bug:
    return Bug(patch.__name__.strip("_").replace("_", " "), world, patch, frozenset(caught_by) | also)


BUGS: Sequence[Bug] = (
    _bug("stormy", _time_out_is_failure, also=_DOUBLE),
    _bug("stormy", _refusal_is_failure, also=_DOUBLE),
    _bug("stormy", _not_found_is_failure, also=_DOUBLE),
    _bug("calm", _saved_after_sending, "sent before stored"),
    _bug("crashing", _restart_builds_anew, also=_DOUBLE),
    _bug("crashing", _restart_forgets, "open past proof"),
    _bug("crashing", _restart_follows_from_now, also=_DOUBLE),
    _bug("calm", _effect_twice, also=_BOOKS),
    _bug("restoring", _no_quarantine, also=_DOUBLE),
    _bug("stormy", _wall_clock_expiry, also=_DOUBLE),
    _bug("stormy", _early_expiry, also=_DOUBLE),
    _bug("rivals", _fence_off, "two backends", also=_DOUBLE),
    _bug("stormy", _never_expires, "open past proof"),
    _bug("calm", _result_read_short, also=_DOUBLE),
    _bug("stormy", _ledgers_skipped_after_a_fault, also=_DOUBLE),
    _bug("restoring", _adopts_nothing, "pail without row"),
    _bug("unworked", _no_backstop, "stake lost"),
    _bug("strange", _strangers_harvest_booked_double, also=_BOOKS),
    _bug("strange", _strangers_harvest_unbooked, "harvest wrongly failed"),
    _bug("strange", _missing_pail_is_lost, "harvest wrongly lost"),
    _bug("lagging", _unworked_pail_is_lost_too_early, "harvest wrongly lost", "harvest wrongly failed"),
    _bug("calm", _other_stake_signed, "plant without pail", "wrong stake"),
    _bug("crashing", _booked_apart, also=_DOUBLE),
    _bug("calm", _stake_counted_as_reward, also=_BOOKS),
    _bug("calm", _never_harvests, "not harvested", "never harvested", "life ended"),
    _bug("calm", _audit_unlinked, "audit chain"),
    _bug("calm", _stream_repeats, "plant stream"),
)
