"""The other farmers of the ledger: they plant, work and harvest, so that ranges and rewards are real.

What each does in a block follows from its address and the block's index alone. They act after a ledger has closed and
send ordinary transactions. They leave the opening of a block to the pool under test for one ledger; if it has not come
by then, they open it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import Keypair, scval, xdr

from devnet._engine import search_nonce
from devnet.engine_client import EngineClient
from devnet.farm_reader import BlockState, pail_key, read_block, read_farm

BLOCK_SECONDS = 300
STROOPS = 10_000_000
LATEST_PLANT = 4
# A plant within this many ledgers of the block's end could land in the next block, and fail.
CLOSING_LEDGERS = 3
WORK_FROM, WORK_TO = 0.45, 0.93
# Out of 256: who stakes, who never works, who searches for the most zeros.
STAKERS, LAZY, DEEP = 102, 8, 16
MAX_STAKE_KALE = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a neighbour does in a block.

    Attributes:
        plant_ledgers: Ledgers it waits after the opening.
        stake: In stroops.
        zeros: Leading zero nibbles it searches for.
        work_seconds: Ledger time after the opening at which it works; None if it never does.
    """

    plant_ledgers: int
    stake: int
    zeros: int
    work_seconds: float | None

    @classmethod
    def of(cls, farmer: str, block_index: int, zeros: tuple[int, int]) -> "Plan":
        """The plan of a farmer for a block; `zeros` is the range to search for."""
        dice = hashlib.sha256(f"{farmer}/{block_index}".encode()).digest()
        share = WORK_FROM + (WORK_TO - WORK_FROM) * dice[4] / 255
        fewest, most = zeros
        return cls(
            plant_ledgers=dice[0] % (LATEST_PLANT + 1),
            stake=(1 + dice[2] % MAX_STAKE_KALE) * STROOPS if dice[1] < STAKERS else 0,
            zeros=most if dice[3] < DEEP else fewest + dice[3] % (max(most - fewest, 1)),
            work_seconds=None if dice[5] < LAZY else share * BLOCK_SECONDS,
        )


class Neighbours:
    """Acts for all of them after each ledger.

    Args:
        farm_id: The farm.
        farmers: Their keys; each is the source of its own transactions.
        zeros: Fewest and most zeros they search for.
        ledger_seconds: Ledger time from one close to the next.
    """

    def __init__(
        self, farm_id: str, farmers: Sequence[Keypair], *, zeros: tuple[int, int], ledger_seconds: int
    ) -> None:
        self._farm_id = farm_id
        self._farmers = list(farmers)
        self._zeros = zeros
        self._ledger_seconds = ledger_seconds
        self._index = -1
        self._plans: dict[str, Plan] = {}
        self._pails: dict[str, str] = {}
        self._earlier_pails: dict[str, str] = {}
        self._done: set[str] = set()

    def act(self, client: EngineClient) -> None:
        """Sends what is to be done in the next ledger, at most one transaction for each neighbour."""
        farm = read_farm(client, self._farm_id)
        if farm.block_index != self._index:
            self._turn_over(farm.block_index)
        block = read_block(client, self._farm_id, farm.block_index)
        now = client.engine.close_time
        due = farm.timestamp + BLOCK_SECONDS if block else farm.timestamp
        for farmer in self._farmers:
            if now >= due:
                busy = self._open(client, farmer, overdue=now - due, index=self._index + bool(block))
            else:
                assert block
                busy = self._farm(client, farmer, block, due)
            if not busy:
                self._harvest(client, farmer)

    def _turn_over(self, index: int) -> None:
        """Prepares for another block. The pails of the one before are harvested now."""
        self._index = index
        addresses = [farmer.public_key for farmer in self._farmers]
        self._plans = {address: Plan.of(address, index, self._zeros) for address in addresses}
        self._pails = {address: pail_key(self._farm_id, address, index).to_xdr() for address in addresses}
        if index:
            self._earlier_pails = {
                address: pail_key(self._farm_id, address, index - 1).to_xdr() for address in addresses
            }
        self._done.clear()

    def _open(self, client: EngineClient, farmer: Keypair, *, overdue: int, index: int) -> bool:
        """Plants into the block `index`, which nobody has opened in `overdue` seconds."""
        plan = Plan.of(farmer.public_key, index, self._zeros)
        if overdue < (1 + plan.plant_ledgers) * self._ledger_seconds:
            return False
        return self._plant(client, farmer, plan.stake)

    def _farm(self, client: EngineClient, farmer: Keypair, block: BlockState, due: int) -> bool:
        """Plants or works in the open block, when the plan says so; whether it sent anything."""
        address = farmer.public_key
        plan = self._plans[address]
        age = client.engine.close_time - block.timestamp
        if client.engine.entry(self._pails[address]) is None:
            early = age < plan.plant_ledgers * self._ledger_seconds
            late = client.engine.close_time + CLOSING_LEDGERS * self._ledger_seconds >= due
            return False if early or late else self._plant(client, farmer, plan.stake)
        if plan.work_seconds is None or age < plan.work_seconds or f"work {address}" in self._done:
            return False
        return self._work(client, farmer, block, plan.zeros)

    def _plant(self, client: EngineClient, farmer: Keypair, stake: int) -> bool:
        return self._call(client, farmer, "plant", scval.to_address(farmer.public_key), scval.to_int128(stake))

    def _work(self, client: EngineClient, farmer: Keypair, block: BlockState, zeros: int) -> bool:
        nonce, digest = search_nonce(self._index, block.entropy, farmer.raw_public_key(), zeros, 0)
        sent = self._call(
            client,
            farmer,
            "work",
            scval.to_address(farmer.public_key),
            scval.to_bytes(digest),
            scval.to_uint64(nonce),
        )
        # Sent or refused, as after a restart when it was worked before: not again in this block.
        self._done.add(f"work {farmer.public_key}")
        return sent

    def _harvest(self, client: EngineClient, farmer: Keypair) -> None:
        address = farmer.public_key
        pail = self._earlier_pails.get(address)
        if pail is None or f"harvest {address}" in self._done or client.engine.entry(pail) is None:
            return
        sent = self._call(client, farmer, "harvest", scval.to_address(address), scval.to_uint32(self._index - 1))
        if not sent:
            self._done.add(f"harvest {address}")

    def _call(self, client: EngineClient, farmer: Keypair, function: str, *arguments: xdr.SCVal) -> bool:
        """Sends one call of the farm; False if simulation says that it would fail, or the queue refuses it."""
        builder = client.builder(farmer)
        builder.append_invoke_contract_function_op(self._farm_id, function, list(arguments))
        try:
            transaction = client.prepare(builder.build())
        except ValueError:
            return False
        return client.send(transaction, farmer).status == "PENDING"
