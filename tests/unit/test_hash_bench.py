"""The benchmark of the hash rate."""

import json

import pytest

from kale_hash_rs import kernels
from pooler.bench import ROUNDS, Contender, Rates, cpu, engine_rate, measure, run_bench


def test_json_has_every_kernel_on_every_count_of_threads(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench(0.05, 3, json=True)
    result = json.loads(capsys.readouterr().out)
    assert (result["cpu"], result["seconds"], result["rounds"]) == (cpu(), 0.05, ROUNDS)
    measured = [(rate["name"], rate["threads"]) for rate in result["rates"]]
    assert measured == [("sha3", 1), *((name, threads) for name in kernels() for threads in (1, 2, 3))]
    assert all(0 < rate["minimum"] <= rate["median"] <= rate["maximum"] for rate in result["rates"])


def test_table_has_a_row_for_every_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench(0.05, 1, json=False)
    output = capsys.readouterr().out
    assert all(name in output for name in (*kernels(), "sha3", "usable threads"))


def test_rounds_are_interleaved_and_ratios_those_of_the_best() -> None:
    calls: list[tuple[str, float]] = []

    def contender(name: str, threads: int, *rates: float) -> Contender:
        left = iter(rates)

        def rate(seconds: float) -> float:
            calls.append((name, seconds))
            return next(left)

        return Contender(name, threads, rate)

    rates = measure(
        [
            contender("slow", 1, 2.0, 1.0, 4.0),
            contender("fast", 1, 8.0, 6.0, 7.0),
            contender("fast", 2, 10.0, 12.0, 9.0),
        ],
        seconds=18.0,
        rounds=3,
    )
    assert calls == [("slow", 2.0), ("fast", 2.0), ("fast", 2.0)] * 3
    assert rates == [
        Rates("slow", 1, 1.0, 2.0, 4.0, 1.0, 1.0),
        Rates("fast", 1, 6.0, 7.0, 8.0, 2.0, 1.0),
        Rates("fast", 2, 9.0, 10.0, 12.0, 3.0, 1.5),
    ]


def test_an_engine_with_many_jobs_is_measured() -> None:
    assert engine_rate(kernels()[0], 2, 20, 0.01) > 0


@pytest.mark.parametrize(("seconds", "threads", "message"), [(0, 1, "seconds must be"), (1, 0, "threads must be")])
def test_bad_arguments_are_refused(seconds: float, threads: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_bench(seconds, threads, json=False)
