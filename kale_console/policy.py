"""The planner at work on paper: what it would have done in a block, decided ledger by ledger without hindsight."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kale_chain.clock import Pace
from kale_chain.model import BLOCK_SECONDS, Block, Farm, Ledger, Pail
from kale_chain.planning.inputs import Candidate, Chances, ClockEstimate, Market, OpenPail, PlantView, WorkView
from kale_chain.planning.plants import plan_plants
from kale_chain.planning.works import plan_works
from kale_chain.planning.zeros import expected_zeros, target_zeros


@dataclass(frozen=True, slots=True)
class Means:
    """What a pool farms with.

    Attributes:
        allowed: The most stroops that each farmer may stake, by address.
        hashes_per_second: Of all its machines.
    """

    allowed: Mapping[str, int]
    hashes_per_second: int


def shared_zeros(hashes: int, farmers: int, target: int) -> list[int]:
    """Zeros that so many hashes find for each farmer on average, the one with the fewest searched for first."""
    if not farmers:
        return []
    average = expected_zeros(hashes, farmers, target)
    whole = int(average)
    lifted = int((average - whole) * farmers)
    return [whole + (number < lifted) for number in range(farmers)]


@dataclass(slots=True)
class _Work:
    """A farmer's plant and what was handed in for it: the ledger it was meant for and its zeros."""

    planted: int
    stake: int
    insured: tuple[int, int] | None = None
    final: tuple[int, int] | None = None

    def pail(self, turned: int) -> Pail:
        """The pail at the block's end; a work in the ledger that opened the next block came too late."""
        for done in (self.final, self.insured):
            if done is not None and done[0] < turned:
                return Pail(self.planted, done[0] - self.planted, self.stake, done[1])
        return Pail(self.planted, None, self.stake, None)


@dataclass
class PaperBlock:
    """One block as the planner would farm it.

    Args:
        index: The block.
        block: Its record when it opened.
        opened: The ledger that opened it.
        means: What there is to farm with.
        market: What was known of its pay when it opened.
        lone: Whether our farmers made most of its ranges.
    """

    index: int
    block: Block
    opened: int
    means: Means
    market: Market
    lone: bool
    works: dict[str, _Work] = field(default_factory=dict)

    def plant(self, pace: Pace) -> None:
        """Decides whom to plant, in the ledger that opened the block, with what stake."""
        length = int(BLOCK_SECONDS / pace.mean)
        view = PlantView(
            index=self.index,
            block=self.block,
            clock=ClockEstimate(self.opened, self.opened + length - 1),
            market=self.market,
            hashes_per_second=self.means.hashes_per_second,
            chances=self._chances,
            lone=self.lone,
        )
        plan = plan_plants(view, [Candidate(*one) for one in self.means.allowed.items()])
        self.works = {one.farmer: _Work(one.plant_ledger, one.stake_stroops) for one in plan.farmers if one.planting}

    @property
    def _chances(self) -> Chances:
        return Chances(ledger_capacity=max(len(self.means.allowed), 1))

    def closed(self, farm: Farm, ledger: Ledger, pace: Pace) -> None:
        """A ledger has closed, and the block is still open: hands in what is due in the next."""
        opening = pace.opening(ledger, farm.block.ends_at)
        zeros = dict(zip(sorted(self.works), self._zeros(ledger.close_time), strict=True))
        view = WorkView(
            index=self.index,
            block=self.block,
            clock=ClockEstimate(self.opened, opening.last_safe, opening.latest - opening.earliest),
            ledger=ledger.sequence,
            market=self.market,
            chances=self._chances,
            lone=self.lone,
        )
        aimed = ledger.sequence + 1
        for plan in plan_works(view, [self._open(farmer, zeros[farmer]) for farmer in self.works]):
            work = self.works[plan.farmer]
            if work.final is None and aimed >= plan.final_not_before:
                work.final = (aimed, zeros[plan.farmer])
            elif work.insured is None and plan.insurance is not None and aimed >= plan.insurance.ledger:
                work.insured = (aimed, min(zeros[plan.farmer], plan.insurance.most_zeros))

    def _zeros(self, time: int) -> list[int]:
        seconds = max(time - self.block.timestamp, 0)
        target = target_zeros(self.block, lone=self.lone)
        return shared_zeros(self.means.hashes_per_second * seconds, len(self.works), target)

    def _open(self, farmer: str, zeros: int) -> OpenPail:
        work = self.works[farmer]
        done = work.final or work.insured
        return OpenPail(
            farmer=farmer,
            index=self.index,
            planted_ledger=work.planted,
            stake_stroops=work.stake,
            best_zeros=zeros,
            accepted_zeros=done[1] if done else None,
            accepted_gap=done[0] - work.planted if done else None,
        )

    def pails(self, turned: int) -> dict[str, Pail]:
        """The pails at the end, by farmer; `turned` is the ledger that opened the next block."""
        return {farmer: work.pail(turned) for farmer, work in self.works.items()}

    def best(self, turned: int, turned_at: int) -> dict[str, Pail]:
        """The pails of one who had known the end.

        Planted first, worked in the last ledger, with the whole block's hashes, and all stakes that earn anything.

        Args:
            turned: The ledger that opened the next block.
            turned_at: Its close time, in seconds.
        """
        farmers = sorted(self.means.allowed)
        target = target_zeros(self.block, lone=self.lone)
        hashes = self.means.hashes_per_second * (turned_at - self.block.timestamp)
        zeros = shared_zeros(hashes, len(farmers), target)
        gap = turned - 1 - self.opened
        return {
            farmer: Pail(self.opened, gap, min(self.means.allowed[farmer], self.block.max_stake), found)
            for farmer, found in zip(farmers, zeros, strict=True)
        }
