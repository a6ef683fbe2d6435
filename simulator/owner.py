"""The farm's owner: pauses it, removes blocks, upgrades it. What it wants is sent until the ledger shows it."""

from __future__ import annotations

import hashlib

from stellar_sdk import scval

from devnet.scenario import FARM_WASM
from simulator.chain import Chain
from simulator.truth import Truth


class Owner:
    """Acts once a ledger, with one transaction: its account has no more sequence numbers than that.

    Attributes:
        paused: Whether the farm is to be paused.
        upgrades: How often it was upgraded.
        removed: How many blocks were removed.
    """

    def __init__(self, chain: Chain, truth: Truth) -> None:
        self._chain = chain
        self._truth = truth
        self._to_remove: list[int] = []
        self._code: bytes | None = None
        self.paused = False
        self.upgrades = 0
        self.removed = 0

    @property
    def at_rest(self) -> bool:
        """Whether the ledger shows everything that it wants."""
        return not self._to_remove and self._code is None and self._chain.is_paused() == self.paused

    def remove(self, index: int) -> None:
        """Has a block removed."""
        self._to_remove.append(index)

    def upgrade(self) -> None:
        """Has the farm upgraded to code that does the same and has another hash."""
        if self._code is None:
            number = self._chain.sequence.to_bytes(4, "big")
            # A custom section at the end of a module changes nothing but its hash.
            self._code = FARM_WASM.read_bytes() + b"\x00\x0d\x08sim_copy" + number

    def act(self) -> None:
        """Notes what has been done, and sends what is next."""
        if self._to_remove and self._chain.block(self._to_remove[0]) is None:
            self._lose(self._to_remove.pop(0))
        if self._code is not None and self._chain.code_hash() == hashlib.sha256(self._code).digest():
            self._code = None
            self.upgrades += 1
        if self._chain.is_paused() != self.paused:
            self._chain.administer("pause" if self.paused else "unpause")
        elif self._to_remove:
            self._chain.administer("remove_block", [scval.to_uint32(self._to_remove[0])])
        elif self._code is not None:
            self._upgrade_to(self._code)

    def _upgrade_to(self, code: bytes) -> None:
        digest = hashlib.sha256(code).digest()
        if self._chain.has_code(digest):
            self._chain.administer("upgrade", [scval.to_bytes(digest)])
        else:
            self._chain.upload(code)

    def _lose(self, index: int) -> None:
        """Nobody can harvest the pails of a block that is gone."""
        self.removed += 1
        pails = [pail for pail in self._truth.open_pails.values() if pail.block_index == index]
        self._truth.lose(pails, "its block was removed")
