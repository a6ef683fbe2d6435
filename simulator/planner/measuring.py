"""Measures policies in scenarios, over several seeds, on several processes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from statistics import mean
from typing import Any

from kale_chain.model import STROOPS_PER_KALE
from simulator.planner.policies import POLICIES, Once, Oracle
from simulator.planner.rivals import Setting, recorded_settings, settings
from simulator.planner.scenarios import RECORDED, SCENARIOS, Scenario
from simulator.planner.season import Tally, season

ONCE_IN = "300/20/50"
ONCE_LEDGERS = (5, 10, 17, 24, 30, 36, 42, 48, 52, 55, 57, 58, 59, 60, 61, 62)
"""Where the curve of single works is measured."""

XLM = 10**7


@dataclass(frozen=True, slots=True)
class Task:
    """All policies in one scenario with one seed; or, in `curve`, one work at every ledger of `ONCE_LEDGERS`."""

    scenario: Scenario
    seed: int
    blocks: int
    curve: bool = False

    @property
    def name(self) -> str:
        """For progress."""
        return f"{self.scenario.name}, seed {self.seed}{', single works' if self.curve else ''}"


Outcome = dict[str, Tally]
"""By policy; always with the oracle."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a policy came to in a scenario; means over the seeds, with the lowest and the highest share.

    Attributes:
        scenario, policy: Their names.
        share: Income over the oracle's.
        lowest, highest: Of the seeds' shares.
        kale: Income a block.
        lost_stakes: In all seeds together.
        unworked: Pails without an accepted work, in all seeds together.
        missed: Share of pails that their last work did not reach in time.
        transactions: Per block.
        fees_xlm: Per block.
        overpaid: What the contract would have paid beyond, over the income.
    """

    scenario: str
    policy: str
    share: float
    lowest: float
    highest: float
    kale: float
    lost_stakes: int
    unworked: int
    missed: float
    transactions: float
    fees_xlm: float
    overpaid: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def tasks(names: Sequence[str], seeds: int, blocks: int) -> list[Task]:
    """What is to be done, the longest first; no names: everything.

    Raises:
        ValueError: if a scenario is unknown.
    """
    known = {one.name: one for one in (*SCENARIOS, RECORDED)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(known)}")
    chosen = [known[name] for name in names] or list(known.values())
    chosen.sort(key=lambda one: one.rivals + one.farmers, reverse=True)
    found = [Task(one, seed, blocks) for one in chosen for seed in range(1, seeds + 1)]
    return found + [
        Task(one, seed, blocks, curve=True) for one in chosen if one.name == ONCE_IN for seed in range(1, seeds + 1)
    ]


def run(task: Task) -> Outcome:
    """Plays every policy of a task."""
    blocks = list(_settings(task))
    if not task.curve:
        return {name: season(task.scenario, task.seed, make(), blocks) for name, make in POLICIES.items()}
    found = {str(ledger): season(task.scenario, task.seed, Once(ledger), blocks) for ledger in ONCE_LEDGERS}
    return found | {"oracle": season(task.scenario, task.seed, Oracle(), blocks)}


def run_all(todo: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    """Runs tasks on so many processes; each outcome as it comes."""
    if jobs == 1:
        yield from ((task, run(task)) for task in todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run, task): task for task in todo}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def lines(outcomes: Sequence[tuple[Task, Outcome]]) -> list[Line]:
    """A line for each scenario and policy, in their usual order."""
    found = []
    for scenario in (*SCENARIOS, RECORDED):
        seeds = [outcome for task, outcome in outcomes if task.scenario == scenario and not task.curve]
        found += [_line(scenario.name, policy, seeds) for policy in POLICIES if seeds]
    return found


def curve(outcomes: Sequence[tuple[Task, Outcome]]) -> list[Line]:
    """A line for each ledger of a single work; empty if it was not measured."""
    seeds = [outcome for task, outcome in outcomes if task.curve]
    return [_line(ONCE_IN, str(ledger), seeds) for ledger in ONCE_LEDGERS if seeds]


def _settings(task: Task) -> Iterator[Setting]:
    if task.scenario == RECORDED:
        return recorded_settings(task.blocks, skip=(task.seed - 1) * task.blocks)
    return settings(task.scenario, task.seed, task.blocks)


def _line(scenario: str, policy: str, seeds: Sequence[Outcome]) -> Line:
    tallies = [outcome[policy] for outcome in seeds]
    shares = [outcome[policy].income / outcome["oracle"].income for outcome in seeds]
    blocks = sum(tally.blocks for tally in tallies)
    income = sum(tally.income for tally in tallies)
    return Line(
        scenario=scenario,
        policy=policy,
        share=mean(shares),
        lowest=min(shares),
        highest=max(shares),
        kale=income / blocks / STROOPS_PER_KALE,
        lost_stakes=sum(tally.lost_stakes for tally in tallies),
        unworked=sum(tally.unworked for tally in tallies),
        missed=sum(tally.missed for tally in tallies) / max(1, sum(tally.plants for tally in tallies)),
        transactions=sum(tally.transactions for tally in tallies) / blocks,
        fees_xlm=sum(tally.fees for tally in tallies) / blocks / XLM,
        overpaid=sum(tally.overpaid for tally in tallies) / max(1, income),
    )
