"""A farmer: where it stands in the pool, what it allows, what it owns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.domain.transitions import check_transition
from backend.errors import FarmerDepartedError, FarmerLeavingError, TransitionError

DEFAULT_STAKE_BASIS_POINTS = 1000
MAX_STAKE_BASIS_POINTS = 10_000
DEFAULT_HARVEST_AFTER_BLOCKS = 5
MAX_HARVEST_AFTER_BLOCKS = 200


class FarmerState(StrEnum):
    """Where a farmer stands; the values are those of the column farmers.status."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    INACTIVE = "inactive"
    DEPARTED = "departed"


TRANSITIONS: Mapping[FarmerState, frozenset[FarmerState]] = {
    FarmerState.ONBOARDING: frozenset({FarmerState.ACTIVE, FarmerState.DEPARTED}),
    FarmerState.ACTIVE: frozenset({FarmerState.INACTIVE, FarmerState.DEPARTED}),
    FarmerState.INACTIVE: frozenset({FarmerState.ACTIVE, FarmerState.DEPARTED}),
    FarmerState.DEPARTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class FarmerKey:
    """A farmer's key pair as it is stored: the address in clear, the seed sealed."""

    farmer_id: UUID
    address: str
    """The Stellar address (G…)."""
    public_key: str
    """The Ed25519 public key, 64 hexadecimal digits."""
    sealed_seed: bytes = field(repr=False)
    key_version: int


@dataclass(frozen=True, slots=True)
class Farmer:
    """A farmer with its settings and sums; amounts in stroops of KALE."""

    farmer_id: UUID
    address: str
    state: FarmerState
    stake_basis_points: int
    harvest_after_blocks: int
    balance_stroops: int
    """KALE on the account, as last seen on the ledger."""
    earned_stroops: int
    """Rewards booked so far."""
    open_stake_stroops: int
    """Stakes in Pails that are neither harvested nor lost."""
    lost_stake_stroops: int
    last_planted_block: int | None
    created_at: datetime
    updated_at: datetime
    fixed_stake_stroops: int | None = None
    """Staked in each block instead of a part of the balance."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewFarmer:
    """A farmer to be created, in state ONBOARDING."""

    key: FarmerKey
    request_id: str
    stake_basis_points: int = DEFAULT_STAKE_BASIS_POINTS
    harvest_after_blocks: int = DEFAULT_HARVEST_AFTER_BLOCKS


@dataclass(frozen=True, slots=True)
class FarmerChange:
    """Settings to change; None leaves one as it is."""

    stake_basis_points: int | None = None
    """Ends a fixed stake."""
    fixed_stake_stroops: int | None = None
    harvest_after_blocks: int | None = None
    state: FarmerState | None = None
    labels: Mapping[str, str] | None = None
    """Takes the place of all labels there were."""


def check_change(farmer_id: UUID, state: FarmerState, change: FarmerChange, *, leaving: bool = False) -> None:
    """Accepts a change of a farmer who is in `state`.

    Raises:
        FarmerDepartedError: the farmer has left.
        FarmerLeavingError: its exit is under way (`leaving`), and it was to farm on.
        TransitionError: the new state cannot follow the present one (a farmer being onboarded becomes active
            by the ledger alone).
    """
    if state is FarmerState.DEPARTED:
        raise FarmerDepartedError(farmer_id)
    if change.state is None:
        return
    if leaving and change.state is FarmerState.ACTIVE:
        raise FarmerLeavingError(farmer_id)
    if state is FarmerState.ONBOARDING and change.state is FarmerState.ACTIVE:
        raise TransitionError(state, change.state)
    check_transition(TRANSITIONS, state, change.state)
