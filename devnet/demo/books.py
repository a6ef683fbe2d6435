"""What the pool's database says of blocks and farmers, held against the ledger's own balances."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

STROOPS_PER_KALE = 10_000_000

# One row per block and farmer the pool has an intent for; work is the best that the contract accepted.
_PAILS = """
SELECT p.block_index,
       f.wallet_address                              AS farmer,
       p.status                                      AS plant,
       p.stake_amount                                AS stake_stroops,
       p.error_reason                                AS plant_failure,
       p.ledger_sequence                             AS plant_ledger,
       w.zeros                                       AS zeros,
       w.gap                                         AS gap,
       coalesce(w.pooler_id, '')                     AS worked_by,
       coalesce(h.status, '')                        AS harvest,
       h.reward_amount                               AS reward_stroops
FROM plant_transactions AS p
JOIN farmers AS f ON f.id = p.farmer_id
LEFT JOIN LATERAL (
    SELECT r.zeros, r.gap, r.pooler_id
    FROM work_results AS r
    WHERE r.block_index = p.block_index AND r.farmer_id = p.farmer_id AND r.status IN ('success', 'unverified')
    ORDER BY r.zeros DESC NULLS LAST, r.gap DESC NULLS LAST
    LIMIT 1
) AS w ON true
LEFT JOIN harvest_transactions AS h ON h.block_index = p.block_index AND h.farmer_id = p.farmer_id
ORDER BY p.block_index, f.created_at, f.id
"""


@dataclass(frozen=True, slots=True)
class PailRow:
    """One farmer in one block, as booked."""

    block_index: int
    farmer: str
    plant: str
    stake_stroops: int
    plant_failure: str | None
    plant_ledger: int | None
    zeros: int | None
    gap: int | None
    worked_by: str
    harvest: str
    reward_stroops: int | None

    @property
    def planted(self) -> bool:
        """Whether a ledger applied the plant."""
        return self.plant == "confirmed"

    @property
    def harvested(self) -> bool:
        """Whether stake and reward are back."""
        return self.harvest == "confirmed"

    @property
    def complete(self) -> bool:
        """Whether the farmer planted, worked and harvested in this block."""
        return self.planted and self.zeros is not None and self.harvested


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """One block over all of the pool's farmers; amounts in stroops, `plant_ledgers` from first to last plant."""

    block_index: int
    farmers: int
    planted: int
    worked: int
    harvested: int
    plant_ledgers: int
    zeros: tuple[int, ...]
    gaps: tuple[int, ...]
    stake_stroops: int
    reward_stroops: int

    @property
    def complete(self) -> bool:
        """Whether every farmer planted, worked and harvested."""
        return self.farmers == self.planted == self.worked == self.harvested


@dataclass(frozen=True, slots=True)
class Account:
    """A farmer's account: where the stroops came from and where they are."""

    farmer: str
    start_stroops: int
    deposit_stroops: int
    reward_stroops: int
    out_stroops: int
    ledger_stroops: int

    @property
    def expected_stroops(self) -> int:
        """Start balance + deposits + rewards − stakes that are out (open or lost)."""
        return self.start_stroops + self.deposit_stroops + self.reward_stroops - self.out_stroops

    @property
    def balanced(self) -> bool:
        """Whether the ledger holds exactly what the books say."""
        return self.expected_stroops == self.ledger_stroops


async def pails(database_url: str) -> list[PailRow]:
    """All rows, by block and then by the farmer's age."""
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
        connection.cursor(row_factory=class_row(PailRow)) as cursor,
    ):
        await cursor.execute(_PAILS)
        return await cursor.fetchall()


def summarise(rows: list[PailRow]) -> list[BlockSummary]:
    """One summary per block, oldest first."""
    blocks: dict[int, list[PailRow]] = {}
    for row in rows:
        blocks.setdefault(row.block_index, []).append(row)
    return [_summary(index, members) for index, members in sorted(blocks.items())]


def _summary(index: int, rows: list[PailRow]) -> BlockSummary:
    ledgers = [row.plant_ledger for row in rows if row.plant_ledger is not None]
    return BlockSummary(
        block_index=index,
        farmers=len(rows),
        planted=sum(row.planted for row in rows),
        worked=sum(row.zeros is not None for row in rows),
        harvested=sum(row.harvested for row in rows),
        plant_ledgers=max(ledgers) - min(ledgers) + 1 if ledgers else 0,
        zeros=tuple(row.zeros for row in rows if row.zeros is not None),
        gaps=tuple(row.gap for row in rows if row.gap is not None),
        stake_stroops=sum(row.stake_stroops for row in rows if row.planted),
        reward_stroops=sum(row.reward_stroops or 0 for row in rows if row.harvested),
    )


def accounts(rows: list[PailRow], *, deposits: dict[str, int], ledger: dict[str, int]) -> list[Account]:
    """Each farmer's account; `deposits` and `ledger` are stroops by address (every farmer starts with nothing)."""
    return [
        Account(
            farmer=farmer,
            start_stroops=0,
            deposit_stroops=deposit,
            reward_stroops=sum(row.reward_stroops or 0 for row in rows if row.farmer == farmer and row.harvested),
            out_stroops=sum(
                row.stake_stroops for row in rows if row.farmer == farmer and row.planted and not row.harvested
            ),
            ledger_stroops=ledger[farmer],
        )
        for farmer, deposit in deposits.items()
    ]
