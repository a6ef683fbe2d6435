"""The simulator that measures the planner: its arithmetic is the contract's, its luck follows the laws."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from kale_chain.farm_model import FarmModel
from kale_chain.model import BLOCK_SECONDS, Ledger
from kale_chain.planning.laws import Law
from kale_chain.planning.zeros import expected_zeros
from kale_chain.rewards import Scoring, base_reward, normalized_sum
from simulator.planner.cli import app
from simulator.planner.policies import Naive, Oracle, Planned, Play, Policy, Situation, few_deep
from simulator.planner.rivals import Rivals, Setting, applied, landed, recorded_settings, settings
from simulator.planner.scenarios import SCENARIOS, Scenario, draw
from simulator.planner.search import EqualSplit, FewestFirst, better
from simulator.planner.season import FIRST_RANGES, Tally, season, seen_ranges, settle_block

SMALL = Scenario("small", 60, 8, 5_000_000)

works = st.lists(st.tuples(st.integers(1, 59), st.integers(0, 9)), max_size=3).map(sorted)
pails = st.lists(st.tuples(st.integers(0, 3 * 10**10), works), min_size=1, max_size=7)


def climbing(works: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that a farm accepts one after the other: later, and with more zeros."""
    accepted: list[tuple[int, int]] = []
    for gap, zeros in works:
        if not accepted or (gap > accepted[-1][0] and zeros > accepted[-1][1]):
            accepted.append((gap, zeros))
    return accepted


@given(pails)
def test_a_block_pays_and_shows_the_next_one_what_the_farm_does(those: list[tuple[int, list[tuple[int, int]]]]) -> None:
    plays = [Play(number, stake, 0, climbing(done)) for number, (stake, done) in enumerate(those)]
    model = FarmModel(0, dict.fromkeys(map(str, range(len(plays))), 10**12) | {"opener": 0})
    model.index, model.farm_block = 7, FIRST_RANGES
    opened = Ledger(100, BLOCK_SECONDS)
    for play in plays:
        model.plant(str(play.farmer), play.stake, opened)
    steps = sorted((gap, play.farmer, zeros) for play in plays for gap, zeros in play.works)
    for gap, farmer, zeros in steps:
        model.record_work(str(farmer), zeros, bytes([zeros]) * 32, Ledger(100 + gap, BLOCK_SECONDS + 5 * gap))
    block = model.blocks[8]
    setting = Setting(8, 60, 61, 5, Rivals())
    ranges = replace(FIRST_RANGES, timestamp=BLOCK_SECONDS)
    situation = Situation(SMALL, setting, ranges, base_reward(8), [], Random)
    tally = Tally()
    rewards, _ = settle_block(situation, plays, tally)
    repeats = any(len(play.works) > 1 for play in plays)
    scores = [normalized_sum(block, gap, play.stake, zeros) for play in plays for gap, zeros in play.works[-1:]]
    assert sum(scores) >= block.normalized_total
    assert repeats or sum(scores) == block.normalized_total
    model.plant("opener", 0, Ledger(161, 2 * BLOCK_SECONDS))
    paid = [model.harvest(str(play.farmer), 8) if play.works else 0 for play in plays]
    assert sum(paid) == sum(rewards) + tally.overpaid
    assert repeats or paid == rewards
    if steps:
        seen = seen_ranges(ranges, Rivals(), plays)
        expected = model.blocks[9]
        for name in ("min_gap", "max_gap", "min_stake", "max_stake", "min_zeros", "max_zeros"):
            assert getattr(seen, name) == getattr(expected, name)


def test_scores_of_counted_rivals_are_those_of_each() -> None:
    (setting,) = settings(replace(SMALL, rivals=200), seed=3, blocks=1)
    rivals = setting.rivals
    scoring = Scoring(FIRST_RANGES)
    # Their parts are counted apart, so any pairing of gaps, zeros and stakes has the same sum.
    triples = zip(rivals.gaps.elements(), rivals.stakes.elements(), rivals.zeros.elements(), strict=True)
    assert rivals.score(scoring) == sum(normalized_sum(FIRST_RANGES, *triple) for triple in triples)
    assert rivals.gaps.total() + rivals.unworked.total() == 200
    assert max(rivals.stakes + rivals.unworked) == 1_300 * 10**7


def test_transactions_land_as_the_law_of_latency_says() -> None:
    random = Random(1)
    law = Law(counts=(6, 3), lost=1)
    drawn = [draw(law, random) for _ in range(20_000)]
    assert drawn.count(0) == pytest.approx(12_000, rel=0.03)
    assert drawn.count(None) == pytest.approx(2_000, rel=0.1)
    ledgers = [landed(50, law, random) for _ in range(20_000)]
    assert ledgers.count(None) == pytest.approx(200, rel=0.3)
    assert {ledger for ledger in ledgers if ledger} == {50, 51, 52}


def test_half_of_the_works_in_the_ledger_that_opens_the_next_block_come_too_late() -> None:
    random = Random(1)
    at_once = Law(counts=(1,))
    assert all(applied(59, 60, at_once, random) == 59 for _ in range(100))
    assert all(applied(61, 60, at_once, random) is None for _ in range(100))
    assert sum(applied(60, 60, at_once, random) is None for _ in range(10_000)) == pytest.approx(5_000, rel=0.05)


def test_a_search_finds_what_so_many_hashes_find_on_average() -> None:
    found = []
    for seed in range(60):
        search = FewestFirst(Random(seed), 40, 9)
        search.advance(40 * 3 * 16**5)
        found.append(mean(finds[-1] for finds in search.finds))
        assert all(finds == sorted(set(finds)) for finds in search.finds)
    # What is lifted overshoots once in 16.
    assert mean(found) == pytest.approx(float(expected_zeros(40 * 3 * 16**5, 40, 9)) + 1 / 15, abs=0.03)


def test_hashes_shared_equally_find_less_than_those_for_the_fewest_zeros() -> None:
    hashes = 20 * 16**6
    fewest, equal = [], []
    for seed in range(60):
        for search, lowest in ((FewestFirst(Random(seed), 20, 9), fewest), (EqualSplit(Random(seed), 20, 9), equal)):
            search.advance(hashes)
            lowest.append(mean(finds[-1] for finds in search.finds))
    assert mean(fewest) > mean(equal)


def test_a_search_stops_at_its_target_and_goes_on_where_it_was() -> None:
    search = FewestFirst(Random(1), 5, 3)
    for hashes in range(0, 10**6, 10**5):
        search.advance(hashes)
    assert all(finds[-1] >= 3 for finds in search.finds)
    assert all(finds[-2] < 3 for finds in search.finds)
    random = Random(1)
    assert sum(better(4, random) == 5 for _ in range(10_000)) == pytest.approx(9_375, rel=0.02)


def test_recorded_blocks_end_after_their_300_seconds() -> None:
    recorded = list(recorded_settings(1_000))
    assert len(recorded) == 679
    for setting in recorded:
        assert 0 < setting.first_turnover <= setting.turnover
        assert setting.first_turnover * setting.seconds >= BLOCK_SECONDS
        assert (setting.first_turnover - 1) * setting.seconds < BLOCK_SECONDS


def income(policy: Policy, blocks: int = 40) -> Tally:
    scenario = SCENARIOS[0]
    return season(scenario, 5, policy, list(settings(scenario, 5, blocks)))


def test_the_planner_earns_nearly_what_is_possible_and_the_controls_do_not() -> None:
    best = income(Oracle()).income
    planner = income(Planned())
    assert planner.income > 0.96 * best
    assert (planner.lost_stakes, planner.unworked) == (0, 0)
    assert income(few_deep()).income < 0.6 * best
    assert income(Naive()).income < 0.3 * best


def test_a_season_follows_from_its_seed() -> None:
    assert income(Planned(), blocks=5) == income(Planned(), blocks=5)
    assert list(settings(SMALL, 1, 3)) == list(settings(SMALL, 1, 3))
    assert list(settings(SMALL, 1, 3)) != list(settings(SMALL, 2, 3))


def test_the_command_measures_one_scenario_and_draws_it(tmp_path: Path) -> None:
    arguments = [
        "--scenario",
        "300/20/50",
        "--blocks",
        "1",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--json",
        "--svg",
        str(tmp_path),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert {line["policy"] for line in told["lines"]} >= {"oracle", "planner", "naive"}
    assert [line["share"] for line in told["lines"] if line["policy"] == "oracle"] == [1.0]
    assert len(told["single_works"]) == 16
    for name in ("planning-shares.svg", "planning-ledgers.svg"):
        assert ET.parse(tmp_path / name).getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_an_unknown_scenario_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(app, ["--scenario", "nowhere"])
    assert result.exit_code == 2
    assert "nowhere" in result.output
    assert "100/10/5" in result.output
