"""Asks every RPC endpoint before a transaction counts as lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from backend.domain.agreement import Verdict, Vote, quorum, verdict
from backend.domain.attempt import Attempt
from backend.ports.chain import UsedSequence
from kale_chain.breaker import CircuitState
from kale_chain.errors import ChainError
from kale_chain.farm import FarmReader
from kale_chain.model import FarmIdentity, Receiver
from kale_chain.rpc import StellarRpc
from kale_chain.xdr.envelopes import uses_sequence

_log = structlog.get_logger()

VOTE_SECONDS = 3.0
"""How long an endpoint may take to vote; settling waits for it."""
_LEDGERS_IN_ONE_GO = 32

T = TypeVar("T")


class RpcWitnesses:
    """Witnesses over Stellar RPC. With a single endpoint what its follower has read is the proof."""

    def __init__(self, rpc: StellarRpc, identity: FarmIdentity) -> None:
        self._rpc = rpc
        self._identity = identity
        self._voters = tuple(rpc.each())

    async def absent(self, attempts: Sequence[Attempt], ledger: int) -> frozenset[bytes]:
        """See Witnesses."""
        if len(self._voters) == 1:
            return frozenset(attempt.hash for attempt in attempts)
        hashes = await self._gathered([self._hash(voter, ledger) for voter in self._voters])
        held = [(voter, found) for voter, found in zip(self._voters, hashes, strict=True) if found is not None]
        agreed = []
        for attempt in attempts:
            votes = await self._gathered([self._vote(voter, found, attempt, ledger) for voter, found in held])
            if self._carried(attempt, [vote for vote in votes if vote is not None], ledger):
                agreed.append(attempt.hash)
        return frozenset(agreed)

    async def used_sequences(self, sources: Sequence[str]) -> Mapping[str, UsedSequence]:
        """See Witnesses. The last number confirmed is the highest that enough answers reach."""
        answers = await self._gathered([self._sequences(voter, sources) for voter in self._voters])
        needed = quorum(len(self._voters))
        confirmed: dict[str, UsedSequence] = {}
        for source in sources:
            told = sorted(
                (answer[source] for answer in answers if answer is not None and source in answer),
                key=lambda used: used.sequence,
                reverse=True,
            )[:needed]
            if len(told) == needed:
                confirmed[source] = UsedSequence(told[-1].sequence, max(used.ledger for used in told))
        return confirmed

    async def receivers(self, addresses: Sequence[str]) -> Mapping[str, Receiver]:
        """See Witnesses. The least room that the agreeing endpoints tell of counts."""
        keeping_up = [voter for voter in self._voters if not voter.endpoints[0].behind]
        answers = await self._gathered([self._receivers(voter, addresses) for voter in keeping_up])
        told = [answer for answer in answers if answer is not None]
        agreed = {}
        for address in addresses:
            alike = Counter(_without_room(answer[address]) for answer in told).most_common(1)
            if alike and alike[0][1] >= quorum(len(self._voters)):
                same = [answer[address] for answer in told if _without_room(answer[address]) == alike[0][0]]
                agreed[address] = min(same, key=lambda receiver: receiver.room or 0)
        return agreed

    async def consumer(self, attempt: Attempt, ledger: int) -> bytes | None:
        """See Witnesses."""
        try:
            for start in range(attempt.created_ledger + 1, ledger + 1, _LEDGERS_IN_ONE_GO):
                end = min(start + _LEDGERS_IN_ONE_GO - 1, ledger)
                for transaction in await self._rpc.transactions(start, end):
                    if uses_sequence(transaction.envelope_xdr, attempt.source, attempt.sequence):
                        return bytes.fromhex(transaction.hash)
        except ChainError as error:
            _log.warning("it cannot be told who used a sequence number", source=attempt.source, error=str(error))
        return None

    def _carried(self, attempt: Attempt, votes: Sequence[Vote], ledger: int) -> bool:
        result = verdict(votes, len(self._voters))
        if result is not Verdict.AGREED:
            level = _log.error if result is Verdict.DISPUTED else _log.warning
            level(
                "the RPC endpoints do not agree that a transaction is lost; it stays open",
                verdict=result,
                transaction_hash=attempt.hash.hex(),
                ledger=ledger,
                votes={vote.endpoint: f"{vote.ledger_hash} {'shown' if vote.shown else 'absent'}" for vote in votes},
                configured=len(self._voters),
            )
        return result is Verdict.AGREED

    async def _vote(self, voter: StellarRpc, ledger_hash: str, attempt: Attempt, ledger: int) -> Vote | None:
        """The vote, or None where the endpoint does not hold every ledger that could show the attempt."""
        sightings = [await voter.sighting(digest.hex()) for digest in attempt.hashes]
        shown = any(sighting.found for sighting in sightings)
        blind = any(sighting.latest < ledger or sighting.oldest > attempt.created_ledger + 1 for sighting in sightings)
        return None if blind and not shown else Vote(voter.endpoint, ledger_hash, shown)

    async def _hash(self, voter: StellarRpc, ledger: int) -> str | None:
        """An endpoint's hash of a ledger; None from one that was silent lately, so that settling need not wait."""
        if voter.endpoints[0].breaker.state is CircuitState.OPEN or voter.endpoints[0].behind:
            return None
        return await voter.ledger_hash(ledger)

    async def _sequences(self, voter: StellarRpc, sources: Sequence[str]) -> Mapping[str, UsedSequence]:
        ledger, accounts = await FarmReader(voter, self._identity).dated_accounts(sources)
        return {address: UsedSequence(account.sequence, ledger) for address, account in accounts.items()}

    async def _receivers(self, voter: StellarRpc, addresses: Sequence[str]) -> Mapping[str, Receiver]:
        return (await FarmReader(voter, self._identity).dated_receivers(addresses))[1]

    async def _gathered(self, questions: Sequence[Awaitable[T | None]]) -> list[T | None]:
        """The answers; None for each that did not come in time."""
        return list(await asyncio.gather(*(_answer(question) for question in questions)))


def _without_room(receiver: Receiver) -> Receiver:
    """What endpoints must say alike: a ledger's difference between them may change the room."""
    return replace(receiver, room=None if receiver.room is None else 0)


async def _answer(question: Awaitable[T | None]) -> T | None:
    try:
        async with asyncio.timeout(VOTE_SECONDS):
            return await question
    except TimeoutError:
        return None
    except ChainError as error:
        _log.warning("an RPC endpoint does not vote", error=str(error))
        return None
