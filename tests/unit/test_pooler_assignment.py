"""One farmer's work in one block: what is submitted when, and how it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kale_chain.model import Pail
from kale_chain.planning.works import Insurance
from pooler.domain.assignment import Accepted, Assignment, Failure, FarmerWork, Find, Reason
from pooler.domain.leases import Leases
from pooler.domain.schedule import Stage

ASSIGNMENT = Assignment(7, "farmer", "GBQHTQ7NTSKHVTSVM6EHUO3TU4P4BK2TAAII25V2TT2Q6OWXUJWEKALE", 1_000, 0)


def find(zeros: int) -> Find:
    return Find(zeros, zeros * 11 + 1, bytes([zeros]) * 32)


def work(*zeros: int) -> FarmerWork:
    one = FarmerWork(ASSIGNMENT)
    for count in zeros:
        one.found(find(count))
    return one


def insurance(one: FarmerWork, least: int = 0) -> Insurance:
    best = 0 if one.best is None else one.best.zeros
    return Insurance(44, max(best - 1, least), least)


def choose(one: FarmerWork, stage: Stage, least: int = 0) -> Find | None:
    return one.choose(stage, max_repeats=1, insurance=insurance(one, least))


def test_the_insuring_work_leaves_the_best_for_the_end() -> None:
    one = work(2, 4, 6)
    assert choose(one, Stage.SEARCHING) is None
    assert choose(one, Stage.INSURING) == find(4)
    one.sent(find(4), Stage.INSURING)
    one.applied(Accepted(4, 44, find(4)))
    assert choose(one, Stage.INSURING) is None
    assert choose(one, Stage.FINAL) == find(6)
    one.sent(find(6), Stage.FINAL)
    one.applied(Accepted(6, 57, find(6)))
    assert choose(one, Stage.FINAL) is None
    assert one.settled(Stage.FINAL) == Accepted(6, 57, find(6))


def test_no_work_is_insured_with_fewer_zeros_than_others_have() -> None:
    one = work(2, 4, 6)
    assert not one.needs_spare(insurance(one, least=4))
    assert one.needs_spare(insurance(one, least=5))
    assert choose(one, Stage.INSURING, least=5) == find(6)
    one.take_spare(find(5))
    assert not one.needs_spare(insurance(one, least=5))
    assert choose(one, Stage.INSURING, least=5) == find(5)
    assert choose(one, Stage.FINAL) == find(6)


def test_a_spare_find_with_more_zeros_than_all_is_the_best() -> None:
    one = work(4)
    one.take_spare(find(4))
    one.take_spare(find(7))
    one.take_spare(None)
    assert one.finds == [find(4), find(7)]
    assert not one.found(find(6))


def test_nothing_is_insured_unless_it_is_planned() -> None:
    assert work(3, 4).choose(Stage.INSURING, max_repeats=1) is None


def test_a_single_find_is_insured_and_is_final() -> None:
    one = work(3)
    assert choose(one, Stage.INSURING) == find(3)
    one.applied(Accepted(3, 44, find(3)))
    assert choose(one, Stage.FINAL) is None
    assert one.settled(Stage.INSURING) is None
    assert one.settled(Stage.FINAL) == Accepted(3, 44, find(3))


def test_a_lost_work_is_built_again_only_so_often() -> None:
    one = work(5)
    for _ in range(2):
        assert choose(one, Stage.FINAL) == find(5)
        one.sent(find(5), Stage.FINAL)
    assert choose(one, Stage.FINAL) is None
    assert one.settled(Stage.FINAL) is None
    outcome = one.settled(Stage.OVER)
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.TIMEOUT


def test_each_stage_has_its_first_transaction_whatever_was_repeated_before() -> None:
    one = work(4, 5)
    for _ in range(2):
        one.sent(find(4), Stage.INSURING)
    assert choose(one, Stage.INSURING) is None
    assert choose(one, Stage.FINAL) == find(5)


def test_a_strangers_work_is_adopted_and_only_more_zeros_are_submitted() -> None:
    one = work(3, 4)
    one.read(Pail(sequence=1_000, gap=45, stake=0, zeros=4))
    assert choose(one, Stage.INSURING) is None
    assert choose(one, Stage.FINAL) is None
    one.found(find(6))
    assert choose(one, Stage.FINAL) == find(6)


def test_a_strangers_work_is_not_reported_as_ours() -> None:
    one = work(4)
    one.read(Pail(sequence=1_000, gap=45, stake=0, zeros=6))
    outcome = one.settled(Stage.OVER)
    assert isinstance(outcome, Failure)
    assert "6 zeros" in outcome.message


def test_work_whose_result_was_missed_is_known_from_the_pail() -> None:
    one = work(3, 5)
    one.sent(find(5), Stage.FINAL)
    one.read(Pail(sequence=1_000, gap=56, stake=0, zeros=5))
    assert one.settled(Stage.FINAL) == Accepted(5, 56, find(5))


def test_a_pail_read_from_a_node_that_lags_takes_nothing_back() -> None:
    one = work(3, 5)
    one.applied(Accepted(5, 56, find(5), "hash", 1_056))
    one.read(Pail(sequence=1_000, gap=44, stake=0, zeros=3))
    one.read(Pail(sequence=1_000, gap=None, stake=0, zeros=None))
    assert one.settled(Stage.FINAL) == Accepted(5, 56, find(5), "hash", 1_056)


@pytest.mark.parametrize("stage", [Stage.INSURING, Stage.FINAL, Stage.OVER])
def test_a_hopeless_work_is_given_up_at_once(stage: Stage) -> None:
    one = work(5)
    one.failure = Failure(Reason.CONTRACT_REFUSED, "no pail", final=True)
    assert choose(one, stage) is None
    assert one.settled(stage) == one.failure


class Life(RuleBasedStateMachine):
    """Anything in any order: accepted zeros never fall, and nothing is submitted that could only be refused."""

    def __init__(self) -> None:
        super().__init__()
        self.one = FarmerWork(ASSIGNMENT)
        self.pail = -1
        self.sent: list[Find] = []

    @rule(zeros=st.integers(0, 12))
    def finds(self, zeros: int) -> None:
        before = -1 if self.one.best is None else self.one.best.zeros
        assert self.one.found(find(zeros)) == (zeros > before)

    @rule(stage=st.sampled_from(Stage))
    def submits(self, stage: Stage) -> None:
        chosen = self.one.choose(stage, max_repeats=3, insurance=insurance(self.one))
        if chosen is None:
            return
        known = -1 if self.one.accepted is None else self.one.accepted.zeros
        assert chosen.zeros > known
        self.one.sent(chosen, stage)
        self.sent.append(chosen)

    @rule(gap=st.integers(1, 60))
    def ledger_applies(self, gap: int) -> None:
        if self.sent and (oldest := self.sent.pop(0)).zeros > self.pail:
            self.pail = oldest.zeros
            self.one.applied(Accepted(oldest.zeros, gap, oldest))

    @rule(zeros=st.integers(0, 12))
    def stranger_works(self, zeros: int) -> None:
        self.pail = max(self.pail, zeros)

    @rule()
    def pail_is_read(self) -> None:
        if self.pail >= 0:
            self.one.read(Pail(1_000, 50, 0, self.pail))
            assert self.one.accepted is not None
            assert self.one.accepted.zeros == self.pail

    @invariant()
    def transactions_are_bounded(self) -> None:
        assert self.one.repeats <= 3

    @invariant()
    def finds_rise(self) -> None:
        zeros = [one.zeros for one in self.one.finds]
        assert zeros == sorted(set(zeros))


TestLife = Life.TestCase


class Channels(RuleBasedStateMachine):
    """No channel is leased twice, none is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 2
        self.leases = Leases(lambda: self.count)
        self.taken: list[int] = []

    @rule()
    def takes(self) -> None:
        number = self.leases.take()
        if number is None:
            assert sorted(self.taken) == list(range(self.count))
            return
        assert number not in self.taken
        assert number < self.count
        self.taken.append(number)

    @rule(at=st.integers(0, 10))
    def gives_back(self, at: int) -> None:
        if self.taken:
            self.leases.give_back(self.taken.pop(at % len(self.taken)))

    @rule()
    def grows(self) -> None:
        self.count = min(self.count + 1, 6)


TestChannels = Channels.TestCase


@given(claimed=st.sets(st.integers(0, 4)))
def test_channels_claimed_after_a_restart_are_free_once_given_back(claimed: set[int]) -> None:
    leases = Leases(lambda: 5)
    for number in claimed:
        leases.claim(number)
    taken = {number for _ in range(5 - len(claimed)) if (number := leases.take()) is not None}
    assert taken == set(range(5)) - claimed
    assert leases.take() is None
    for number in claimed:
        leases.give_back(number)
    assert {leases.take() for _ in claimed} == claimed
