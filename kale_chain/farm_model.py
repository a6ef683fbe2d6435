"""The farm contract's whole behaviour in exact integers: the reference that the ledger is compared with.

Every call either changes the model as the contract would change the ledger, or raises and changes nothing.
Reproduces a trace recorded from the real contract, line by line (tests/vectors/farm_trace.txt).
"""

from collections.abc import Mapping
from dataclasses import replace

from kale_chain.errors import FarmError, FarmErrorCode, TokenError, TokenErrorCode
from kale_chain.hashing import count_zeros, work_hash
from kale_chain.model import Block, Ledger, Pail
from kale_chain.rewards import normalized_sum, reward


class FarmModel:
    """A farm created at `timestamp` (ledger time) whose farmers hold `balances` (stroops of KALE).

    A farmer without an entry in `balances` has no trustline. Authorisation and rent are not modelled.

    Attributes:
        index: The current block's index.
        farm_block: The instance's record of what has been seen since the last opening.
        paused: Whether plants are refused.
        blocks: Blocks alive, by index.
        pails: Pails alive, by farmer and block index.
        balances: KALE in stroops, by farmer.
    """

    def __init__(self, timestamp: int, balances: Mapping[str, int]) -> None:
        self.index = 0
        self.farm_block = Block.unseen(timestamp)
        self.paused = False
        self.blocks: dict[int, Block] = {}
        self.pails: dict[tuple[str, int], Pail] = {}
        self.balances = dict(balances)

    def plant(self, farmer: str, stake: int, now: Ledger) -> None:
        """Burn `stake` stroops and open the farmer's pail in the current block, opening a new block when due.

        Raises:
            FarmError: `PLANT_AMOUNT_TOO_LOW`, `FARM_PAUSED`, `PAIL_EXISTS` (in this order).
            TokenError: `TRUSTLINE_MISSING` or `BALANCE` if the stake cannot be burned.
        """
        if stake < 0:
            raise FarmError(FarmErrorCode.PLANT_AMOUNT_TOO_LOW)
        if self.paused:
            raise FarmError(FarmErrorCode.FARM_PAUSED)
        index, block, seen = self._current(now)
        if (farmer, index) in self.pails:
            raise FarmError(FarmErrorCode.PAIL_EXISTS)
        if stake:
            self._burn(farmer, stake)
        self.index = index
        self.farm_block = replace(seen, min_stake=min(seen.min_stake, stake), max_stake=max(seen.max_stake, stake))
        self.blocks[index] = replace(block, staked_total=block.staked_total + stake)
        self.pails[farmer, index] = Pail(sequence=now.sequence, gap=None, stake=stake, zeros=None)

    def work(self, farmer: str, digest: bytes, nonce: int, now: Ledger) -> int:
        """Record `digest` as the farmer's work in the current block and return the gap in ledgers.

        Raises:
            FarmError: `BLOCK_MISSING`, `PAIL_MISSING`, `GAP_COUNT_TOO_LOW`, `HASH_INVALID`, `ZERO_COUNT_TOO_LOW`
                (in this order).
        """
        block, _, _ = self._workable(farmer, now)
        if digest != work_hash(self.index, nonce, block.entropy, farmer):
            raise FarmError(FarmErrorCode.HASH_INVALID)
        return self.record_work(farmer, count_zeros(digest), digest, now)

    def record_work(self, farmer: str, zeros: int, digest: bytes, now: Ledger) -> int:
        """As `work`, for a digest known to be valid."""
        block, pail, gap = self._workable(farmer, now)
        if pail.zeros is not None and zeros <= pail.zeros:
            raise FarmError(FarmErrorCode.ZERO_COUNT_TOO_LOW)
        total = block.normalized_total + normalized_sum(block, gap, pail.stake, zeros)
        staked = block.staked_total
        if pail.zeros is None:
            staked -= pail.stake
        else:
            # The contract values the earlier zeros at the new gap, not at the gap they were scored with.
            total -= normalized_sum(block, gap, pail.stake, pail.zeros)
        seen = self.farm_block
        self.farm_block = replace(
            seen,
            min_gap=min(seen.min_gap, gap),
            max_gap=max(seen.max_gap, gap),
            min_zeros=min(seen.min_zeros, zeros),
            max_zeros=max(seen.max_zeros, zeros),
            entropy=digest,
        )
        self.blocks[self.index] = replace(block, staked_total=staked, normalized_total=total)
        self.pails[farmer, self.index] = replace(pail, gap=gap, zeros=zeros)
        return gap

    def harvest(self, farmer: str, index: int) -> int:
        """Mint reward and stake to the farmer, delete the pail, and return the reward alone, in stroops.

        Raises:
            FarmError: `BLOCK_MISSING`, `PAIL_MISSING`, `HARVEST_NOT_READY`, `WORK_MISSING` (in this order).
            TokenError: `TRUSTLINE_MISSING` if the farmer cannot receive.
        """
        if index not in self.blocks:
            raise FarmError(FarmErrorCode.BLOCK_MISSING)
        pail = self.pails.get((farmer, index))
        if pail is None:
            raise FarmError(FarmErrorCode.PAIL_MISSING)
        if index >= self.index:
            raise FarmError(FarmErrorCode.HARVEST_NOT_READY)
        paid = reward(self.blocks[index], index, pail)
        if farmer not in self.balances:
            raise TokenError(TokenErrorCode.TRUSTLINE_MISSING)
        self.balances[farmer] += paid + pail.stake
        del self.pails[farmer, index]
        return paid

    def pause(self) -> None:
        """Refuse plants from now on."""
        if self.paused:
            raise FarmError(FarmErrorCode.FARM_PAUSED)
        self.paused = True

    def unpause(self) -> None:
        """Accept plants again."""
        if not self.paused:
            raise FarmError(FarmErrorCode.FARM_NOT_PAUSED)
        self.paused = False

    def remove_block(self, index: int) -> None:
        """Forget block `index`: by its administrator, or because it has outlived its time on the ledger."""
        self.blocks.pop(index, None)

    def _current(self, now: Ledger) -> tuple[int, Block, Block]:
        """Index and record of the block a plant falls into, and the instance's record beside it."""
        seen = self.farm_block
        if now.close_time >= seen.ends_at:
            return self.index + 1, seen.opened_at(now.close_time), Block.unseen(now.close_time)
        block = self.blocks.get(self.index)
        if block is not None:
            return self.index, block, seen
        index = self.index + 1 if self.index else 0
        return index, seen.opened_at(now.close_time), seen

    def _workable(self, farmer: str, now: Ledger) -> tuple[Block, Pail, int]:
        block = self.blocks.get(self.index)
        if block is None:
            raise FarmError(FarmErrorCode.BLOCK_MISSING)
        pail = self.pails.get((farmer, self.index))
        if pail is None:
            raise FarmError(FarmErrorCode.PAIL_MISSING)
        gap = now.sequence - pail.sequence
        if gap == 0:
            raise FarmError(FarmErrorCode.GAP_COUNT_TOO_LOW)
        return block, pail, gap

    def _burn(self, farmer: str, stake: int) -> None:
        balance = self.balances.get(farmer)
        if balance is None:
            raise TokenError(TokenErrorCode.TRUSTLINE_MISSING)
        if balance < stake:
            raise TokenError(TokenErrorCode.BALANCE)
        self.balances[farmer] = balance - stake
