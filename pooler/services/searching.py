"""Searching nonces for every assigned farmer, the one with the fewest zeros first."""

import structlog

from kale_chain.planning.zeros import MAX_ZEROS
from pooler.domain.assignment import FarmerWork
from pooler.domain.nonce_range import RANGE_LENGTH, nonce_start
from pooler.domain.round import Round, Rounds
from pooler.domain.schedule import BlockPlan
from pooler.ports import Found, HashEngine, Journal, Search

log = structlog.get_logger(__name__)

Key = tuple[int, str]


class Searching:
    """The searches of all rounds.

    Args:
        engine: The cores.
        journal: Keeps finds.
        rounds: The blocks and their farmers; finds go into them.
        limit: How many searches may run at a time (MAX_WORK_PROCESSES).

    Attributes:
        run_number: Counts the starts of this pooler, so that none searches where an earlier one has.
    """

    def __init__(self, engine: HashEngine, journal: Journal, rounds: Rounds, *, limit: int) -> None:
        self._engine = engine
        self._journal = journal
        self._rounds = rounds
        self.run_number = 0
        self._limit = limit
        self._searches: dict[Key, Search] = {}
        self._ended: dict[Key, Search] = {}
        self._waiting: dict[Key, None] = {}
        self._spares: dict[Key, Search] = {}

    @property
    def running(self) -> int:
        """How many searches run."""
        return len(self._searches)

    def hashes(self, block_index: int, address: str) -> int:
        """Nonces tried for a farmer in a block by this run."""
        key = (block_index, address)
        search = self._searches.get(key) or self._ended.get(key)
        return 0 if search is None else search.hashes

    def start(self, one: Round) -> None:
        """Starts what can be started in a round; does nothing for searches that run, ended or wait."""
        if one.plan is None or one.over:
            return
        for address, work in one.works.items():
            key = (one.index, address)
            if work.released or key in self._searches or key in self._ended or key in self._waiting:
                continue
            if len(self._searches) < self._limit:
                self._begin(key, one, work)
            else:
                log.warning("search waits: MAX_WORK_PROCESSES run", block_index=one.index, farmer_id=_id(work))
                self._waiting[key] = None
        self._start_spares(one, one.plan)

    def _start_spares(self, one: Round, plan: BlockPlan) -> None:
        """Starts a short search, once, for every farmer who has no find fit to insure with."""
        for address, planned in one.plans.items():
            key, work, insurance = (one.index, address), one.works.get(address), planned.insurance
            if work is None or work.released or insurance is None or key in self._spares:
                continue
            if insurance.least_zeros and work.needs_spare(insurance):
                self._spares[key] = self._engine.search(
                    work.assignment,
                    plan.entropy,
                    min_zeros=insurance.least_zeros,
                    max_zeros=insurance.least_zeros,
                    # In half a range from its end on: no other search comes so far in a block.
                    nonce_start=nonce_start(work.assignment.generation, self.run_number) + RANGE_LENGTH // 2,
                    nonce_count=RANGE_LENGTH // 2,
                    spare=True,
                )

    def _begin(self, key: Key, one: Round, work: FarmerWork) -> None:
        assert one.plan is not None
        reached = -1 if work.best is None else work.best.zeros
        if reached >= one.plan.target_zeros:
            return
        start = nonce_start(work.assignment.generation, self.run_number)
        self._searches[key] = self._engine.search(
            work.assignment,
            one.plan.entropy,
            min_zeros=reached + 1,
            max_zeros=min(one.plan.target_zeros, MAX_ZEROS),
            nonce_start=start,
            nonce_count=RANGE_LENGTH,
        )
        log.debug("search started", block_index=one.index, farmer_id=_id(work), nonce_start=start)

    def stop(self, block_index: int, address: str | None = None) -> None:
        """Ends the searches of a block, or of one farmer in it; finds on their way still count."""
        for key in [key for key in self._waiting if _matches(key, block_index, address)]:
            del self._waiting[key]
        for key in [key for key in self._searches if _matches(key, block_index, address)]:
            search = self._searches.pop(key)
            search.cancel()
            self._ended[key] = search
        for key in [key for key in self._spares if _matches(key, block_index, address)]:
            self._spares[key].cancel()
        self._refill()

    def renew(self, block_index: int, address: str) -> None:
        """Lets a farmer who came back be searched for again."""
        self._ended.pop((block_index, address), None)

    def forget(self, block_index: int) -> None:
        """Drops what is kept of a finished block."""
        self.stop(block_index)
        self._ended = {key: search for key, search in self._ended.items() if key[0] != block_index}
        self._spares = {key: search for key, search in self._spares.items() if key[0] != block_index}

    async def run(self) -> None:
        """Takes finds until the engine is closed."""
        async for batch in self._engine.finds():
            better = [
                (found.block_index, found.address, found.find) for found in batch if self._take(found) and found.find
            ]
            if better:
                await self._journal.found(better)
            self._refill()

    def _take(self, found: Found) -> bool:
        key = (found.block_index, found.address)
        if found.ended and not found.spare and key in self._searches:
            self._ended[key] = self._searches.pop(key)
        one = self._rounds.get(found.block_index)
        work = None if one is None else one.works.get(found.address)
        if work is None or found.find is None:
            return False
        if found.spare:
            work.take_spare(found.find)
            return work.best is found.find
        return work.found(found.find)

    def _refill(self) -> None:
        for key in list(self._waiting):
            if len(self._searches) >= self._limit:
                return
            del self._waiting[key]
            one = self._rounds.get(key[0])
            if one is not None and key[1] in one.works:
                self._begin(key, one, one.works[key[1]])


def _id(work: FarmerWork) -> str:
    return work.assignment.farmer_id


def _matches(key: Key, block_index: int, address: str | None) -> bool:
    return key[0] == block_index and address in {None, key[1]}
