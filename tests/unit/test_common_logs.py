"""Logs: one JSON object a line, and no secret in any of them."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from kale_common.command import until_signal
from kale_common.logs import configure, current_level, redacted
from kale_common.redaction import REDACTED

SEED = "S" + "CZANGBA5YHTNYVVV4C3U252E2B6P6F5T3U6MM63WBSBZATAQI3EBTQ4"[:55]


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_json_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    structlog.get_logger("pooler").info("planted", farmer_id="f1", block_index=7)
    structlog.get_logger("pooler").debug("too quiet")
    (line,) = lines(capsys)
    assert (line["event"], line["farmer_id"], line["block_index"], line["level"]) == ("planted", "f1", 7, "info")
    assert "timestamp" in line


def test_secrets_are_hidden_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", secrets=["hunter2"])
    log = structlog.get_logger("pooler")
    log.info(
        "connected",
        found="seed " + SEED,
        url="postgresql://user:pw@127.0.0.1/db",
        nested={"a": [f"x{SEED}", SEED, "hunter2!"]},
    )
    log.info("a key", master_secret="anything", password="anything")
    try:
        int(SEED)
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("stdlib says %s", SEED)
    text = json.dumps(lines(capsys))
    for hidden in (SEED, "user:pw", "hunter2", "anything"):
        assert hidden not in text
    assert "ValueError" in text
    assert REDACTED in text


def test_a_repeat_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info")
    configure("warning")
    structlog.get_logger("pooler").info("quiet")
    structlog.get_logger("pooler").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_errors_that_nothing_catches_are_logged_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", secrets=["hunter2"])

    def fail() -> None:
        raise RuntimeError(f"cannot connect with hunter2 and {SEED}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    logged = lines(capsys)
    assert [line["level"] for line in logged] == ["critical", "critical"]
    for line in logged:
        assert "RuntimeError: cannot connect with [redacted] and [redacted]" in str(line["exception"])


def test_command_errors_are_told_without_secrets() -> None:
    configure("info", secrets=["hunter2"])
    assert redacted("no role hunter2 at postgresql://u:p@h/d") == "no role [redacted] at postgresql://[redacted]@h/d"


def test_level_changes_by_signals_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")

    async def work() -> None:
        log = structlog.get_logger("pooler")
        log.debug("before")
        for number, event in ((signal.SIGUSR1, "during"), (signal.SIGUSR2, "after")):
            changed = asyncio.Event()
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            async with asyncio.timeout(10):
                before = current_level()
                while current_level() == before:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), 0.01)
            log.debug(event)

    until_signal(work())
    events = [line["event"] for line in lines(capsys)]
    assert events == ["log level changed", "during", "log level changed"]
