"""Which farmers poolers have taken: a pooler that is there and lets its farmers lie loses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from backend.domain.presence import FIRST_GENERATION, FarmerLease, left_lying
from backend.ports.poolers import Handed


class Taking:
    """What was taken in the present block.

    Like silence, delay is counted in ledgers that this backend told: whoever was told nothing lets nothing lie.
    """

    def __init__(self) -> None:
        self._block = 0
        self._ledger = 0
        self._taken: set[tuple[UUID, int]] = set()
        self._told: Counter[tuple[UUID, int]] = Counter()
        self._settled = False

    def excuse(self, leases: Iterable[FarmerLease]) -> None:
        """What was planted before this backend started was perhaps taken then."""
        for lease in leases:
            if lease.planted:
                self._take(lease.block_index, lease.key)

    def planted(self, block_index: int, farmer_id: UUID) -> None:
        """A pooler was sent the plant of a farmer that it asked for."""
        self._take(block_index, (farmer_id, FIRST_GENERATION))

    def given(self, handed: Iterable[Handed]) -> None:
        """A pooler has acknowledged leases that it was given."""
        for one in handed:
            self._take(one.hand_over.block_index, (one.hand_over.farmer_id, one.hand_over.generation))

    def stir(self) -> None:
        """There may be new leases: it is to be looked whether they are taken."""
        self._settled = False

    def open_in(self, block_index: int) -> bool:
        """Whether leases of a block may be lying."""
        return not (self._settled and self._block == block_index)

    def lying(
        self, block_index: int, leases: Sequence[FarmerLease], present: Collection[str], *, ledger: int
    ) -> list[FarmerLease]:
        """Leases that poolers who are present let lie.

        Args:
            block_index: The block.
            leases: All its leases.
            present: The poolers that answer.
            ledger: The last closed ledger.
        """
        self._turn(block_index)
        theirs = [lease for lease in leases if lease.pooler_id in present]
        if ledger > self._ledger:
            self._ledger = ledger
            self._told.update(lease.key for lease in theirs if lease.planted and lease.key not in self._taken)
        self._settled = all(lease.worked or lease.key in self._taken for lease in leases)
        return left_lying(theirs, self._taken, self._told)

    def _take(self, block_index: int, key: tuple[UUID, int]) -> None:
        self._turn(block_index)
        if block_index == self._block:
            self._taken.add(key)

    def _turn(self, block_index: int) -> None:
        if block_index > self._block:
            self._block, self._settled = block_index, False
            self._taken.clear()
            self._told.clear()
