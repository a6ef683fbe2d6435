"""The local ledger's contract and the model that every reward is computed with, side by side on random operations."""

import re
from dataclasses import dataclass
from random import Random

import pytest
from stellar_sdk import scval, xdr

from devnet._engine import search_nonce
from devnet.engine_client import instance_key, trustline_key
from devnet.farm_reader import block_key
from devnet.server import DevnetOptions, found_ledger
from kale_chain.errors import ContractError
from kale_chain.farm_model import FarmModel
from kale_chain.model import Block, Ledger
from kale_chain.xdr.entries import farm_state, read_block, read_instance, read_trustline_balance

OPERATIONS = 1_000
OPTIONS = DevnetOptions(genesis_time=1_750_000_000, neighbours=10)
MOST_ZEROS = 3
LEDGER_SECONDS = (1, 30)
CODE = re.compile(r"Error\(Contract, #(\d+)\)")


@dataclass(frozen=True)
class Call:
    """One call of the farm.

    Attributes:
        farmer: Who calls, and for whom.
        name: The function.
        number: The stake in stroops, the nonce, or the block's index.
        digest: A work's hash.
        block_index: The block that it is for when it is simulated; its footprint holds no other.
    """

    farmer: str
    name: str
    number: int
    digest: bytes
    block_index: int

    @property
    def arguments(self) -> list[xdr.SCVal]:
        """As the contract takes them."""
        farmer = scval.to_address(self.farmer)
        if self.name == "plant":
            return [farmer, scval.to_int128(self.number)]
        if self.name == "harvest":
            return [farmer, scval.to_uint32(self.number)]
        return [farmer, scval.to_bytes(self.digest), scval.to_uint64(self.number)]


class SideBySide:
    """One farm on the local ledger, and its model."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.scenario = OPTIONS.scenario
        self.client, _ = found_ledger(OPTIONS)
        self.farmers = {keypair.public_key: keypair for keypair in self.scenario.neighbours}
        self.model = FarmModel(0, {farmer: self.balance(farmer) for farmer in self.farmers})
        self.model.farm_block = self.state()[1]
        self.done = self.refused = 0

    @property
    def now(self) -> Ledger:
        """The last closed ledger."""
        return Ledger(self.client.engine.sequence, self.client.engine.close_time)

    def ledger(self) -> None:
        """Some farmers call; what simulation refuses the model refuses, the rest is applied and compared."""
        sent: dict[str, Call] = {}
        for farmer in self.random.sample(sorted(self.farmers), self.random.randint(1, 4)):
            call = self.drawn(farmer)
            code = self.send(call, sent)
            self.done += 1
            if code is not None:
                self.refused += 1
                assert code == self.perform(call), call
        for closed in self.client.engine.close(self.now.close_time + self.random.randint(*LEDGER_SECONDS)):
            call = sent[closed.hash]
            # In another block than it was made for, a call has no entries to work on.
            expected = self.is_for(call) and self.perform(call) is None
            assert closed.successful == expected, call
        assert self.state() == (self.model.index, self.model.farm_block)
        assert self.block() == self.model.blocks.get(self.model.index)
        assert {farmer: self.balance(farmer) for farmer in self.farmers} == self.model.balances

    def drawn(self, farmer: str) -> Call:
        """A call; many of them are to be refused."""
        name = self.random.choice(["plant", "work", "work", "work", "harvest"])
        index = self.model.index
        if name == "plant":
            most = self.model.balances[farmer]
            stake = self.random.choice([0, 1, most // 7, most // 3, most, most + 1, -1])
            return Call(farmer, name, stake, b"", self.planted_index())
        if name == "harvest":
            return Call(farmer, name, max(0, index - self.random.randint(0, 3)), b"", index)
        block = self.model.blocks.get(index)
        raw = self.farmers[farmer].raw_public_key()
        zeros, start = self.random.randint(0, MOST_ZEROS), self.random.randrange(2**32)
        nonce, digest = search_nonce(index, block.entropy if block else bytes(32), raw, zeros, start)
        return Call(farmer, name, nonce, digest if self.random.random() < 0.95 else bytes(32), index)

    def send(self, call: Call, sent: dict[str, Call]) -> int | None:
        """Sends the call, unless simulation refuses it: then the number of its error."""
        keypair = self.farmers[call.farmer]
        builder = self.client.builder(keypair)
        builder.append_invoke_contract_function_op(self.scenario.farm_id, call.name, call.arguments)
        try:
            transaction = self.client.prepare(builder.build())
        except ValueError as error:
            return contract_code(error)
        submission = self.client.send(transaction, keypair)
        assert submission.status == "PENDING"
        sent[submission.hash] = call
        return None

    def perform(self, call: Call) -> int | None:
        """Has the model do it; the number of its error, or None."""
        try:
            if call.name == "plant":
                self.model.plant(call.farmer, call.number, self.now)
            elif call.name == "harvest":
                self.model.harvest(call.farmer, call.number)
            else:
                self.model.work(call.farmer, call.digest, call.number, self.now)
        except ContractError as error:
            return int(error.code)
        return None

    def is_for(self, call: Call) -> bool:
        """Whether the call now concerns the block that it was made for."""
        if call.name == "plant":
            return self.planted_index() == call.block_index
        return call.name == "harvest" or self.model.index == call.block_index

    def planted_index(self) -> int:
        """The block that a plant falls into after what was done."""
        return self.model._current(self.now)[0]

    def state(self) -> tuple[int, Block]:
        """FarmIndex and FarmBlock on the ledger."""
        entry = self.client.engine.entry(instance_key(self.scenario.farm_id).to_xdr())
        assert entry is not None
        return farm_state(read_instance(entry[0]).storage)[:2]

    def block(self) -> Block | None:
        """The current block on the ledger."""
        entry = self.client.engine.entry(block_key(self.scenario.farm_id, self.model.index).to_xdr())
        return None if entry is None else read_block(entry[0])

    def balance(self, farmer: str) -> int:
        """KALE on the ledger, in stroops."""
        entry = self.client.engine.entry(trustline_key(farmer, self.scenario.asset).to_xdr())
        assert entry is not None
        return read_trustline_balance(entry[0])


def contract_code(error: ValueError) -> int:
    """The contract's number in what the host says."""
    code = CODE.search(str(error))
    assert code is not None, error
    return int(code[1])


@pytest.mark.parametrize("seed", range(5))
def test_contract_and_model_agree_on_a_thousand_random_operations(seed: int) -> None:
    world = SideBySide(seed)
    while world.done < OPERATIONS:
        world.ledger()
    # Neither kind is rare, and blocks turned over.
    assert OPERATIONS // 5 < world.refused < OPERATIONS * 4 // 5
    assert world.model.index > 5
