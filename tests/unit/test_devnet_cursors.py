"""Cursors of the local ledger's history."""

import pytest

from devnet.cursors import EventId, TransactionId


def test_transaction_cursor_is_a_total_order_id() -> None:
    place = TransactionId(5, 2)
    assert place.cursor == str((5 << 32) + (2 << 12) + 1)
    assert TransactionId.from_cursor(place.cursor) == place


def test_event_id_is_a_total_order_id_and_a_number() -> None:
    place = EventId(TransactionId(5, 2), 3)
    assert str(place) == f"{(5 << 32) + (2 << 12):019d}-0000000003"
    assert EventId.from_cursor(str(place)) == place


def test_end_of_a_ledger_is_after_its_events_and_before_the_next_ledgers() -> None:
    end = EventId.end_of(5)
    assert str(EventId(TransactionId(5, (1 << 20) - 1), 9)) < end < str(EventId(TransactionId(6, 0), 0))
    assert EventId.from_cursor(end).transaction.ledger == 5


@pytest.mark.parametrize("cursor", ["", "-1", "1.5", "x", "\u0661", "1-"])
def test_other_text_is_no_cursor(cursor: str) -> None:
    with pytest.raises(ValueError, match="not"):
        TransactionId.from_cursor(cursor)
    with pytest.raises(ValueError, match="not"):
        EventId.from_cursor(cursor)
