"""The benchmark of the hash rate."""

import json

import pytest

from kale_hash_rs import kernels
from pooler.bench import ROUNDS, run_bench


def test_json_has_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench(0.05, 3, json=True)
    result = json.loads(capsys.readouterr().out)
    assert (result["seconds"], result["rounds"]) == (0.05, ROUNDS)
    contenders = [(rate["name"], rate["threads"]) for rate in result["rates"]]
    assert contenders == [("sha3", 1), *((name, 1) for name in kernels()), ("engine", 1), ("engine", 2), ("engine", 3)]
    assert all(0 < rate["minimum"] <= rate["median"] <= rate["maximum"] for rate in result["rates"])
    assert result["rates"][0]["times_sha3"] == 1


def test_table_has_a_row_for_every_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    run_bench(0.05, 1, json=False)
    output = capsys.readouterr().out
    assert all(name in output for name in (*kernels(), "sha3", "engine"))


@pytest.mark.parametrize(("seconds", "threads", "message"), [(0, 1, "seconds must be"), (1, 0, "threads must be")])
def test_bad_arguments_are_refused(seconds: float, threads: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_bench(seconds, threads, json=False)
