"""Validation of requests: one function per message, from raw values to what the services take.

All raise InvalidRequestError naming the field as the protocol spells it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.failure import Failure
from backend.domain.farmer import (
    DEFAULT_HARVEST_AFTER_BLOCKS,
    DEFAULT_STAKE_BASIS_POINTS,
    MAX_HARVEST_AFTER_BLOCKS,
    MAX_STAKE_BASIS_POINTS,
    FarmerChange,
    FarmerState,
)
from backend.domain.plant import PlantRequest
from backend.domain.work import BACKSTOP_POOLER, WorkReport
from backend.errors import InvalidRequestError
from kale_chain.model import MAX_NONCE, U32_MAX

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_POOLER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INT64_MAX = 2**63 - 1
_MAX_ZEROS = 64
_DEFAULT_PAGE, _MAX_PAGE = 100, 500
_MAX_TEXT = 1000
_MAX_LABEL = 100
UPDATE_PATHS = frozenset({"stake_basis_points", "fixed_stake_stroops", "harvest_after_blocks", "state", "labels"})
_STAKES = ("stake_basis_points", "fixed_stake_stroops")
_LABEL_NAME = re.compile(r"[A-Za-z0-9._/-]{1,63}")
_MAX_LABELS, _MAX_LABEL_VALUE = 16, 128
_MAX_FARMERS = 100_000
_MAX_RATE = 1e18
_MAX_VERSION = 64
_SETTABLE = frozenset({FarmerState.ACTIVE, FarmerState.INACTIVE, FarmerState.DEPARTED})


def plant_request(*, request_id: str, pooler_id: str, block_index: int, requested_farmers: int) -> PlantRequest:
    """A PlantRequest message."""
    return PlantRequest(
        request_id=_request_id("request_id", request_id),
        pooler_id=_pooler_id(pooler_id),
        block_index=_number("block_index", block_index, 0, U32_MAX),
        requested_farmers=_number("requested_farmers", requested_farmers, 0, U32_MAX),
    )


def attendance(
    *, pooler_id: str, max_farmers: int, hashes_per_second: float, machine_load: float, version: str
) -> None:
    """An AttendRequest message."""
    _pooler_id(pooler_id)
    _number("max_farmers", max_farmers, 0, _MAX_FARMERS)
    for field, value in (("hashes_per_second", hashes_per_second), ("machine_load", machine_load)):
        if not 0 <= value < _MAX_RATE:  # a NaN is not either
            raise InvalidRequestError(field, f"{value} is not within 0 to {_MAX_RATE:g}")
    if len(version) > _MAX_VERSION:
        raise InvalidRequestError("version", f"longer than {_MAX_VERSION} characters")


def block_report(*, pooler_id: str, block_index: int, opened_ledger_time: int, ledger_sequence: int) -> None:
    """A ReportBlockRequest message."""
    _pooler_id(pooler_id)
    _number("block_index", block_index, 0, U32_MAX)
    _number("opened_ledger_time", opened_ledger_time, 0, _INT64_MAX)
    _number("ledger_sequence", ledger_sequence, 0, U32_MAX)


def failed_report(*, report_id: str, pooler_id: str, block_index: int, farmer_id: str, failure: Failure) -> WorkReport:
    """A ReportWorkRequest message whose outcome is a failure."""
    return WorkReport(
        report_id=_request_id("report_id", report_id),
        pooler_id=_pooler_id(pooler_id),
        block_index=_number("block_index", block_index, 0, U32_MAX),
        farmer_id=farmer_uuid(farmer_id),
        failure=Failure(failure.reason, failure.message[:_MAX_TEXT]),
    )


def work_report(
    *,
    report_id: str,
    pooler_id: str,
    block_index: int,
    farmer_id: str,
    work_hash: str,
    nonce: int | None,
    zeros: int | None = None,
    gap: int | None = None,
    transaction_hash: str = "",
    ledger_sequence: int = 0,
) -> WorkReport:
    """A ReportWorkRequest message whose outcome is accepted work; `zeros` and `gap` may be unknown (JSON)."""
    return WorkReport(
        report_id=_request_id("report_id", report_id),
        pooler_id=_pooler_id(pooler_id),
        block_index=_number("block_index", block_index, 0, U32_MAX),
        farmer_id=farmer_uuid(farmer_id),
        work_hash=bytes.fromhex(_hash("work_hash", work_hash)),
        nonce=None if nonce is None else _number("nonce", nonce, 0, MAX_NONCE),
        zeros=None if zeros is None else _number("zeros", zeros, 0, _MAX_ZEROS),
        gap=None if gap is None else _number("gap", gap, 0, U32_MAX),
        transaction_hash=_hash("transaction_hash", transaction_hash) if transaction_hash else None,
        ledger=_number("ledger_sequence", ledger_sequence, 0, U32_MAX) or None,
    )


def new_farmer_settings(
    *, request_id: str, stake_basis_points: int | None, harvest_after_blocks: int | None
) -> tuple[str, int, int]:
    """A CreateFarmerRequest message: request id, stake in basis points, blocks to harvest after; defaults filled in."""
    stake = DEFAULT_STAKE_BASIS_POINTS if stake_basis_points is None else stake_basis_points
    blocks = DEFAULT_HARVEST_AFTER_BLOCKS if harvest_after_blocks is None else harvest_after_blocks
    return (
        _request_id("request_id", request_id),
        _number("stake_basis_points", stake, 0, MAX_STAKE_BASIS_POINTS),
        _number("harvest_after_blocks", blocks, 1, MAX_HARVEST_AFTER_BLOCKS),
    )


def farmer_uuid(farmer_id: str) -> UUID:
    """A GetFarmerRequest message, or any other farmer_id: a UUID in its canonical text form."""
    if not _UUID.fullmatch(farmer_id):
        raise InvalidRequestError("farmer_id", f"{farmer_id[:64]!r} is not a UUID like {UUID(int=0)}")
    return UUID(farmer_id)


def farmer_page(*, page_size: int, page_token: str) -> tuple[int, UUID | None]:
    """A ListFarmersRequest message: the page's size, and the farmer it comes after."""
    size = _number("page_size", page_size, 0, _MAX_PAGE) or _DEFAULT_PAGE
    if not page_token:
        return size, None
    if not _UUID.fullmatch(page_token):
        raise InvalidRequestError("page_token", "not a next_page_token of an earlier answer")
    return size, UUID(page_token)


def farmer_change(
    *,
    paths: Sequence[str],
    stake_basis_points: int,
    harvest_after_blocks: int,
    state: FarmerState | None,
    fixed_stake_stroops: int = 0,
    labels: Mapping[str, str] | None = None,
) -> FarmerChange:
    """An UpdateFarmerRequest message: the settings its update_mask names."""
    _check_paths(paths)
    if "state" in paths and state not in _SETTABLE:
        raise InvalidRequestError("farmer.state", "only ACTIVE, INACTIVE and DEPARTED can be set")
    return FarmerChange(
        stake_basis_points=_number("farmer.stake_basis_points", stake_basis_points, 0, MAX_STAKE_BASIS_POINTS)
        if "stake_basis_points" in paths
        else None,
        harvest_after_blocks=_number("farmer.harvest_after_blocks", harvest_after_blocks, 1, MAX_HARVEST_AFTER_BLOCKS)
        if "harvest_after_blocks" in paths
        else None,
        state=state if "state" in paths else None,
        fixed_stake_stroops=_number("farmer.fixed_stake_stroops", fixed_stake_stroops, 0, _INT64_MAX)
        if "fixed_stake_stroops" in paths
        else None,
        labels=_labels(labels or {}) if "labels" in paths else None,
    )


def _check_paths(paths: Sequence[str]) -> None:
    known = ", ".join(sorted(UPDATE_PATHS))
    if not paths:
        raise InvalidRequestError("update_mask", f"names nothing; it may name {known}")
    for path in paths:
        if path not in UPDATE_PATHS:
            raise InvalidRequestError("update_mask", f"{path[:64]!r} is none of {known}")
    if set(_STAKES) <= set(paths):
        raise InvalidRequestError("update_mask", f"names both {' and '.join(_STAKES)}; a stake is one or the other")


def _labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    if len(labels) > _MAX_LABELS:
        raise InvalidRequestError("farmer.labels", f"{len(labels)} are too many; there may be {_MAX_LABELS}")
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise InvalidRequestError("farmer.labels", f"name {name[:64]!r}: 1 to 63 characters of A-Z a-z 0-9 . _ / -")
        if len(value) > _MAX_LABEL_VALUE or not value.isprintable():
            problem = f"the value of {name}: at most {_MAX_LABEL_VALUE} printable characters"
            raise InvalidRequestError("farmer.labels", problem)
    return dict(labels)


def time(field: str, text: str | None) -> datetime | None:
    """A moment in ISO 8601, in UTC unless it says otherwise; None if it is not given."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text[:64]!r} is no time like 2026-11-24 or 2026-11-24T12:00:00Z"
        raise InvalidRequestError(field, problem) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def label(value: str) -> str:
    """What an operator calls a token."""
    if not 1 <= len(value) <= _MAX_LABEL or not value.isprintable():
        raise InvalidRequestError("label", f"must be 1 to {_MAX_LABEL} printable characters")
    return value


def _request_id(field: str, value: str) -> str:
    if not _REQUEST_ID.fullmatch(value):
        raise InvalidRequestError(field, "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -")
    return value


def pooler_name(name: str) -> str:
    """A pooler's name as an operator gives it."""
    return _pooler_id(name)


def _pooler_id(value: str) -> str:
    if not _POOLER_ID.fullmatch(value):
        raise InvalidRequestError("pooler_id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
    if value == BACKSTOP_POOLER:
        raise InvalidRequestError("pooler_id", f"{BACKSTOP_POOLER!r} is the backend's own name; choose another")
    return value


def _hash(field: str, value: str) -> str:
    if not _HASH.fullmatch(value):
        raise InvalidRequestError(field, f"must be 64 hexadecimal digits, not {len(value)} characters {value[:70]!r}")
    return value.lower()


def _number(field: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InvalidRequestError(field, f"{value} is not within {low} to {high}")
    return value
