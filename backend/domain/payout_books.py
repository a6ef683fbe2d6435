"""Bookings of payments out: withdrawals, and the pool's cut of rewards."""

from __future__ import annotations

from dataclasses import replace

from backend.domain.harvest import HarvestState
from backend.domain.money import AccountKind, BookedPail, Transfer, TransferKind, legs_of
from backend.domain.settlement import BalanceMoved
from kale_chain.model import NOBODY

BASIS_POINTS = 10_000
"""The whole, in hundredths of a percent."""


def cut_of(reward_stroops: int, basis_points: int) -> int:
    """The pool's part of a reward: floor(reward · basis points / 10,000) stroops, so that the farmer keeps the rest."""
    return reward_stroops * basis_points // BASIS_POINTS


def cut_transfer(pail: BookedPail) -> Transfer:
    """What the pool takes of a harvest: a claim on KALE that stays on the farmer's account until it is paid out."""
    cut = cut_of(pail.reward_stroops or 0, pail.cut_basis_points) if pail.state is HarvestState.CONFIRMED else 0
    return Transfer(
        TransferKind.CUT,
        legs_of(((AccountKind.DUE, pail.farmer_id), cut), ((AccountKind.CLAIMS, None), -cut)),
        farmer_id=pail.farmer_id,
        block_index=pail.block_index,
        ledger=pail.ended_ledger,
        transaction_hash=pail.harvest_hash,
    )


def payout_transfers(moved: BalanceMoved, *, cut_stroops: int) -> list[Transfer]:
    """What a withdrawal's transaction moved: KALE to its destination, and the pool's cut."""
    paid = -moved.stroops - cut_stroops
    available, external = (AccountKind.AVAILABLE, moved.farmer_id), (AccountKind.EXTERNAL, None)
    due, claims = (AccountKind.DUE, moved.farmer_id), (AccountKind.CLAIMS, None)
    payment = Transfer(
        TransferKind.WITHDRAWAL,
        legs_of((available, -paid), (external, paid)),
        farmer_id=moved.farmer_id,
        ledger=moved.ledger,
        transaction_hash=moved.transaction_hash,
        counterparty=moved.counterparty,
    )
    cut = ((available, -cut_stroops), (external, cut_stroops), (due, -cut_stroops), (claims, cut_stroops))
    return [
        payment,
        replace(payment, kind=TransferKind.CUT_PAID, legs=legs_of(*cut), counterparty=NOBODY),
    ]
