"""Payout addresses, the switch that stops payments, and the pool's cut."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from backend.db.withdrawals import SqlWithdrawals
from backend.domain.payout import RUNNING, PayoutAddress, PayoutRules, Switch
from backend.domain.withdrawal import Destination
from backend.errors import UnknownFarmerError
from kale_chain.model import Memo

_SWITCH = text("SELECT paused, reason FROM withdrawal_switches ORDER BY id DESC LIMIT 1")
_TURN = text("INSERT INTO withdrawal_switches (paused, reason) VALUES (:paused, :reason)")
_FARMER = text("SELECT id FROM farmers WHERE id = :farmer_id FOR NO KEY UPDATE")
_ADDRESSES = text("""
SELECT destination, memo, is_locked, effective_time FROM payout_addresses WHERE farmer_id = :farmer_id ORDER BY id
""")
_ADD_ADDRESS = text("""
INSERT INTO payout_addresses (farmer_id, destination, memo, is_locked, effective_time)
VALUES (:farmer_id, :destination, :memo, :locked, :time)
""")
_OWING = text("""
SELECT a.farmer_id, a.balance FROM money_accounts AS a
WHERE a.kind = 'due' AND a.balance > 0 AND a.balance >= :threshold AND NOT EXISTS (
    SELECT FROM withdrawals AS w
    WHERE w.farmer_id = a.farmer_id AND w.status IN ('requested', 'reserved', 'approved', 'sending')
)
ORDER BY a.farmer_id
""")
_CUT = text("SELECT basis_points FROM pool_cuts ORDER BY id DESC LIMIT 1")
_SET_CUT = text("INSERT INTO pool_cuts (basis_points, from_block) VALUES (:basis_points, :from_block)")

_NOTE_LIMITS = text("""
SELECT record_change('limits_set', NULL, NULL, given.limits)
FROM (SELECT jsonb_strip_nulls(CAST(:limits AS jsonb)) AS limits) AS given
WHERE given.limits IS DISTINCT FROM (
    SELECT e.data FROM block_events AS e WHERE e.event_type = 'limits_set' ORDER BY e.id DESC LIMIT 1
)
""")


class SqlWithdrawalStore(SqlWithdrawals):
    """See backend.ports.withdrawals.WithdrawalStore."""

    async def owing(self, threshold_stroops: int) -> Sequence[tuple[UUID, int]]:
        """Farmers who owe at least so much of the pool's cut and have no live withdrawal, with what they owe."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_OWING, {"threshold": threshold_stroops})
            return [(row.farmer_id, int(row.balance)) for row in rows]

    async def switch(self) -> Switch:
        """Whether withdrawals are paused."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_SWITCH)).one_or_none()
        return RUNNING if row is None else Switch(row.paused, row.reason)

    async def turn(self, switch: Switch) -> None:
        """Pauses or resumes withdrawals."""
        async with self._database.attributed() as connection:
            await connection.execute(_TURN, {"paused": switch.paused, "reason": switch.reason})

    async def payout(self, farmer_id: UUID) -> Sequence[PayoutAddress]:
        """Where a farmer wants to be paid, as it was set, oldest first."""
        async with self._database.transaction() as connection:
            if (await connection.execute(_FARMER, {"farmer_id": farmer_id})).one_or_none() is None:
                raise UnknownFarmerError(farmer_id)
            rows = await connection.execute(_ADDRESSES, {"farmer_id": farmer_id})
            return [
                PayoutAddress(
                    Destination(row.destination, Memo.parse(row.memo) if row.memo else None),
                    locked=row.is_locked,
                    effective_time=row.effective_time,
                )
                for row in rows
            ]

    async def set_payout(self, farmer_id: UUID, address: PayoutAddress) -> None:
        """Adds a payout address."""
        memo = address.destination.memo
        values = {
            "farmer_id": farmer_id,
            "destination": address.destination.address,
            "memo": str(memo) if memo else None,
            "locked": address.locked,
            "time": address.effective_time,
        }
        async with self._database.attributed() as connection:
            if (await connection.execute(_FARMER, {"farmer_id": farmer_id})).one_or_none() is None:
                raise UnknownFarmerError(farmer_id)
            await connection.execute(_ADD_ADDRESS, values)

    async def note_limits(self, rules: PayoutRules) -> bool:
        """Records the limits of payments in the audit trail; False where the last ones recorded are the same."""
        limits = {
            "least": rules.least_stroops,
            "farmer_day": rules.farmer_day_stroops,
            "pool_day": rules.pool_day_stroops,
            "change_delay_seconds": rules.change_delay_seconds,
            "cut_address": rules.treasury,
            "cut_threshold": rules.cut_threshold_stroops,
        }
        async with self._database.transaction() as connection:
            noted = await connection.execute(_NOTE_LIMITS, {"limits": json.dumps(limits)})
            return noted.one_or_none() is not None

    async def set_cut(self, basis_points: int, from_block: int) -> bool:
        """Sets the pool's cut from a block on; False where it is so already."""
        async with self._database.transaction() as connection:
            if (await connection.scalar(_CUT) or 0) == basis_points:
                return False
            await connection.execute(_SET_CUT, {"basis_points": basis_points, "from_block": from_block})
            return True
