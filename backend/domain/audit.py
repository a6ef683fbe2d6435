"""The chain over the audit trail: how a link is computed, and what is wrong with one that does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

GENESIS = bytes(32)
"""What stands for the hash before the first link."""


@dataclass(frozen=True, slots=True)
class Link:
    """One event in the chain."""

    number: int
    """Position from 1 on, without gaps."""
    event_id: int
    content: str
    """The event as a JSON array: id, block index, type, farmer, pooler, data, microseconds since 1970."""
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last link: with it, kept outside the database, every later change of an earlier event is found."""

    number: int
    """0: the chain is empty."""
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of walking the chain."""

    links: int
    """Links that were good, from the first on."""
    head: ChainHead
    fault: str | None = None
    """What is wrong with the first bad one, and where; None if all are good."""


def link_hash(previous_hash: bytes, number: int, content: str) -> bytes:
    """SHA-256 of the previous hash, the number as 8 bytes (big-endian), and the event's content in UTF-8."""
    return hashlib.sha256(previous_hash + number.to_bytes(8, "big") + content.encode()).digest()


async def verify(links: AsyncIterator[Link], recorded: ChainHead | None = None) -> Verification:
    """Walks a chain from its first link.

    Args:
        links: In the order of their numbers.
        recorded: A head kept outside the database; the chain must contain it.
    """
    head = ChainHead(0)
    async for link in links:
        fault = _fault(head, link, recorded)
        if fault is not None:
            return Verification(head.number, head, fault)
        head = ChainHead(link.number, link.hash)
    if recorded is not None and head.number < recorded.number:
        fault = f"the chain ends at number {head.number}, but had reached {recorded.number}: links were removed"
        return Verification(head.number, head, fault)
    return Verification(head.number, head)


def _fault(before: ChainHead, link: Link, recorded: ChainHead | None) -> str | None:
    where = f"number {link.number} (event {link.event_id})"
    if link.number != before.number + 1:
        return f"{where} follows number {before.number}: a link between them was removed"
    if link.previous_hash != before.hash:
        return f"{where} does not continue number {before.number}: one of them was exchanged"
    if link.hash != link_hash(link.previous_hash, link.number, link.content):
        return f"{where} does not match its hash: the event was edited, or another put in its place"
    if recorded is not None and link.number == recorded.number and link.hash != recorded.hash:
        return f"{where} has another hash than the head recorded outside the database: the chain was written anew"
    return None
