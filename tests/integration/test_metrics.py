"""What the services tell Prometheus, and that dashboard and alert rules ask for nothing else."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from backend.services.conditions import NAMES
from tests.fixtures.backend import Pool, StartBackend
from tests.fixtures.farming import planted, request, worked
from tests.fixtures.pooler_command import Command

ROOT = Path(__file__).resolve().parents[2]
# What a service has at most; series that appear only later (a drill, a bump) are named here.
LATER = {
    "kale_backup_base_age_seconds": set(),
    "kale_backup_log_age_seconds": set(),
    "kale_backup_drill_age_seconds": set(),
    "kale_backup_drill_passed": set(),
}
BY_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname"}}
TARGET = {"job", "instance"}
WORDS = {
    "sum", "by", "increase", "rate", "histogram_quantile", "absent", "changes", "predict_linear", "and", "or", "on",
}  # fmt: skip
ID = re.compile(r"G[A-Z2-7]{55}|[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-")

Families = dict[str, set[str]]


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def families(text: str) -> Families:
    """Names of all series, with their labels."""
    found: Families = {}
    for family in text_string_to_metric_families(text):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def value(text: str, name: str, **labels: str) -> float | None:
    """One series' value."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((one.value for one in samples if one.name == name and labels.items() <= one.labels.items()), None)


async def test_backend_tells_what_it_did_and_how_it_is(pool: Pool) -> None:
    block, farmers = await planted(pool, 2)
    await pool.until(lambda: worked(pool, block, farmers), ledgers=60)
    assert await pool.open_block() == block + 1
    await pool.plant(request(block + 1, "r-2"))
    await pool.advance(3)
    port = pool.backend.http_port

    async def harvested() -> bool:
        _, text = await get(port, "/metrics")
        return value(text, "kale_transactions_total", kind="harvest", result="succeeded") == 2

    await pool.until(harvested, ledgers=20)
    status, text = await get(port, "/metrics")
    assert status == 200
    assert value(text, "kale_transactions_total", kind="plant", result="succeeded") == 4
    assert value(text, "kale_inclusion_ledgers_count", kind="plant") == 4
    assert (value(text, "kale_fees_stroops_total", kind="harvest") or 0) > 1000
    assert (value(text, "kale_blocks_total"), value(text, "kale_blocks_missed_total")) == (1, 0)
    assert value(text, "kale_farmers_active") == 2
    assert (value(text, "kale_master_balance_stroops") or 0) > 0
    assert [name for name in NAMES if value(text, "kale_alarm_active", alarm=name) is None] == []
    assert value(text, "kale_alarm_active", alarm="database_unreachable") == 0
    assert not ID.search(text), "no id is a label"
    assert (await get(port, "/livez"))[0] == 200
    status, body = await get(port, "/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)


async def not_ready(port: int) -> list[str]:
    """What is down, once something is known to be."""
    async with asyncio.timeout(60):
        while True:
            status, body = await get(port, "/readyz")
            if status == 503:
                return list(json.loads(body)["down"])
            await asyncio.sleep(0.1)


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard and the alert rules, by its name."""
    dashboard = json.loads((ROOT / "deploy/grafana/kale-pool.json").read_text())
    for panel in dashboard["panels"]:
        yield from ((f"panel {panel['title']}", target["expr"]) for target in panel.get("targets", ()))
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    for group in rules["groups"]:
        yield from ((f"rule {rule['alert']}", rule["expr"]) for rule in group["rules"])


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """The series that a query names, each with the labels it selects by."""
    bare = re.sub(r'"[^"]*"', '""', query)
    grouping = {label for labels in re.findall(r"\bby\s*\(([^)]*)\)", bare) for label in re.findall(r"\w+", labels)}
    bare = re.sub(r"\bby\s*\([^)]*\)", "", re.sub(r"\[\w+\]", "", bare))
    for name, selector in re.findall(r"([a-zA-Z_:]\w*)\s*(\{[^}]*\})?", re.sub(r"\d+e\d+", "0", bare)):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        if name not in WORDS and f"{name}=" not in selector and not _is_label(bare, name):
            yield name, labels | grouping


def _is_label(query: str, name: str) -> bool:
    return re.search(rf"[{{,]\s*{name}\s*(=~|!~|!=|=)", query) is not None


def unknown(known: Families) -> list[str]:
    """What dashboard and rules ask for that nobody tells."""
    problems = []
    for where, query in queries():
        for name, labels in asked(query):
            if name not in known:
                problems.append(f"{where}: {name}")
            else:
                problems += [f"{where}: {name} has no label {one}" for one in labels - known[name] - TARGET]
    return problems


async def test_dashboard_and_rules_ask_only_for_what_is_told(start_backend: StartBackend, funded: Command) -> None:
    async with start_backend() as pool:
        await planted(pool, 1)
        port = pool.backend.http_port

        async def spent() -> bool:
            return value((await get(port, "/metrics"))[1], "kale_master_hours_left") is not None

        await pool.until(spent, ledgers=40)
        _, backend = await get(port, "/metrics")
    async with funded.running() as (_, ready):
        _, other = await get(ready["http_port"], "/metrics")
        assert (await get(ready["http_port"], "/livez"))[0] == 200
        assert await not_ready(ready["http_port"]) == ["backend"], "no backend listens there"
    known = families(backend) | families(other) | LATER | BY_PROMETHEUS
    # Labels appear with the first series, which a young pooler has not all had.
    known.setdefault("kale_pooler_works_total", set()).add("result")
    assert unknown(known) == []
    assert unknown({name: labels for name, labels in known.items() if name != "kale_plant_seconds_bucket"}) != []


def test_every_alarm_has_its_page_and_its_rule() -> None:
    pages = (ROOT / "docs/operations.md").read_text()
    assert [name for name in NAMES if f"### `{name}`" not in pages] == []
