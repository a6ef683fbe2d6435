"""The filters of `getEvents`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devnet.jsonrpc import invalid
from devnet.records import EventRecord

MAX_FILTERS = 5
MAX_CONTRACTS = 5
MAX_TOPICS = 5
ANY_ONE = "*"
ANY_REST = "**"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Accepts events of these kinds, contracts and topics; what is empty does not restrict."""

    kinds: frozenset[str]
    contract_ids: frozenset[str]
    topics: tuple[tuple[str, ...], ...]

    def accepts(self, event: EventRecord) -> bool:
        """Whether an event matches."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.contract_ids or event.contract_id in self.contract_ids)
            and (not self.topics or any(_matches(pattern, event.topics) for pattern in self.topics))
        )


def read_filters(value: object) -> list[EventFilter]:
    """Reads the `filters` parameter; `JsonRpcError` says what is wrong with it."""
    items = _items(value, "filters", MAX_FILTERS)
    return [_read(item) for item in items]


def _read(value: object) -> EventFilter:
    if not isinstance(value, Mapping):
        raise invalid("a filter must be an object")
    kinds = value.get("type") or ""
    if not isinstance(kinds, str):
        raise invalid("a filter's type must be a string")
    topics = _items(value.get("topics"), "topics", MAX_TOPICS)
    return EventFilter(
        kinds=frozenset(kinds.split(",")) if kinds else frozenset(),
        contract_ids=frozenset(_items(value.get("contractIds"), "contractIds", MAX_CONTRACTS)),
        topics=tuple(tuple(_items(pattern, "a topic filter", MAX_TOPICS)) for pattern in topics),
    )


def _items(value: object, name: str, most: int) -> Sequence[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{name} must be a list")
    if len(value) > most:
        raise invalid(f"{name}: at most {most}")
    return value


def _matches(pattern: Sequence[str], topics: Sequence[str]) -> bool:
    if pattern and pattern[-1] == ANY_REST:
        pattern = pattern[:-1]
        topics = topics[: len(pattern)]
    return len(pattern) == len(topics) and all(
        wanted in (ANY_ONE, topic) for wanted, topic in zip(pattern, topics, strict=True)
    )
