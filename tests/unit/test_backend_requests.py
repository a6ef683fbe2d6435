"""Malformed requests are refused, each with the field at fault."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.domain import requests
from backend.domain.failure import Failure, FailureReason
from backend.domain.farmer import FarmerState
from backend.errors import InvalidRequestError

UUID_TEXT = "00000000-0000-4000-8000-000000000001"
HASH = "ab" * 32

PLANT = {"request_id": "r-1", "pooler_id": "pooler-1", "block_index": 1, "requested_farmers": 0}
WORK = {
    "report_id": "r-1",
    "pooler_id": "pooler-1",
    "block_index": 1,
    "farmer_id": UUID_TEXT,
    "work_hash": HASH,
    "nonce": 1,
}
BLOCK = {"pooler_id": "pooler-1", "block_index": 1, "opened_ledger_time": 0, "ledger_sequence": 0}
CREATE: dict[str, Any] = {"request_id": "r-1", "stake_basis_points": None, "harvest_after_blocks": None}
PAGE: dict[str, Any] = {"page_size": 0, "page_token": ""}
CHANGE = {"paths": ["state"], "stake_basis_points": 0, "harvest_after_blocks": 0, "state": FarmerState.INACTIVE}
Function = Callable[..., Any]


@pytest.mark.parametrize(
    ("function", "good", "bad", "field"),
    [
        (requests.plant_request, PLANT, {"request_id": ""}, "request_id"),
        (requests.plant_request, PLANT, {"request_id": "x" * 129}, "request_id"),
        (requests.plant_request, PLANT, {"request_id": "a b"}, "request_id"),
        (requests.plant_request, PLANT, {"pooler_id": ""}, "pooler_id"),
        (requests.plant_request, PLANT, {"pooler_id": "x" * 65}, "pooler_id"),
        (requests.plant_request, PLANT, {"pooler_id": "a:b"}, "pooler_id"),
        (requests.plant_request, PLANT, {"pooler_id": "backend"}, "pooler_id"),
        (requests.plant_request, PLANT, {"block_index": -1}, "block_index"),
        (requests.plant_request, PLANT, {"block_index": 2**32}, "block_index"),
        (requests.plant_request, PLANT, {"requested_farmers": -1}, "requested_farmers"),
        (requests.work_report, WORK, {"report_id": ""}, "report_id"),
        (requests.work_report, WORK, {"farmer_id": "f1"}, "farmer_id"),
        (requests.work_report, WORK, {"farmer_id": UUID_TEXT.upper().replace("0", "A")}, "farmer_id"),
        (requests.work_report, WORK, {"work_hash": "ab"}, "work_hash"),
        (requests.work_report, WORK, {"work_hash": "zz" * 32}, "work_hash"),
        (requests.work_report, WORK, {"work_hash": HASH + "\n"}, "work_hash"),
        (requests.work_report, WORK, {"nonce": 2**64}, "nonce"),
        (requests.work_report, WORK, {"zeros": 65}, "zeros"),
        (requests.work_report, WORK, {"gap": -1}, "gap"),
        (requests.work_report, WORK, {"transaction_hash": "12"}, "transaction_hash"),
        (requests.block_report, BLOCK, {"pooler_id": "ü"}, "pooler_id"),
        (requests.block_report, BLOCK, {"opened_ledger_time": 2**63}, "opened_ledger_time"),
        (requests.new_farmer_settings, CREATE, {"request_id": "/"}, "request_id"),
        (requests.farmer_change, CHANGE, {"paths": ["stake_basis_points", "fixed_stake_stroops"]}, "update_mask"),
        (
            requests.farmer_change,
            CHANGE,
            {"paths": ["fixed_stake_stroops"], "fixed_stake_stroops": -1},
            "farmer.fixed_stake_stroops",
        ),
        (requests.farmer_change, CHANGE, {"paths": ["labels"], "labels": {"": "x"}}, "farmer.labels"),
        (requests.farmer_change, CHANGE, {"paths": ["labels"], "labels": {"a b": "x"}}, "farmer.labels"),
        (requests.farmer_change, CHANGE, {"paths": ["labels"], "labels": {"a": "x" * 129}}, "farmer.labels"),
        (requests.farmer_change, CHANGE, {"paths": ["labels"], "labels": {"a": "\n"}}, "farmer.labels"),
        (
            requests.farmer_change,
            CHANGE,
            {"paths": ["labels"], "labels": {str(number): "" for number in range(17)}},
            "farmer.labels",
        ),
        (requests.new_farmer_settings, CREATE, {"stake_basis_points": 10_001}, "stake_basis_points"),
        (requests.new_farmer_settings, CREATE, {"harvest_after_blocks": 0}, "harvest_after_blocks"),
        (requests.new_farmer_settings, CREATE, {"harvest_after_blocks": 201}, "harvest_after_blocks"),
        (requests.farmer_page, PAGE, {"page_size": 501}, "page_size"),
        (requests.farmer_page, PAGE, {"page_token": "next"}, "page_token"),
        (requests.farmer_change, CHANGE, {"paths": []}, "update_mask"),
        (requests.farmer_change, CHANGE, {"paths": ["balance_stroops"]}, "update_mask"),
        (requests.farmer_change, CHANGE, {"state": FarmerState.ONBOARDING}, "farmer.state"),
        (requests.farmer_change, CHANGE, {"state": None}, "farmer.state"),
        (
            requests.farmer_change,
            CHANGE,
            {"paths": ["stake_basis_points"], "stake_basis_points": 10_001},
            "farmer.stake_basis_points",
        ),
    ],
)
def test_malformed_request_is_refused_with_its_field(
    function: Function, good: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    function(**good)
    with pytest.raises(InvalidRequestError) as caught:
        function(**(good | bad))
    assert caught.value.field == field


def test_defaults_are_filled_in() -> None:
    assert requests.new_farmer_settings(**CREATE) == ("r-1", 1000, 5)
    assert requests.farmer_page(**PAGE) == (100, None)


def test_only_masked_settings_change() -> None:
    change = requests.farmer_change(
        paths=["harvest_after_blocks"], stake_basis_points=9, harvest_after_blocks=7, state=FarmerState.ACTIVE
    )
    assert (change.stake_basis_points, change.harvest_after_blocks, change.state) == (None, 7, None)


def test_overlong_failure_text_is_cut() -> None:
    report = requests.failed_report(
        report_id="r",
        pooler_id="p",
        block_index=1,
        farmer_id=UUID_TEXT,
        failure=Failure(FailureReason.TIMEOUT, "x" * 5000),
    )
    assert report.failure is not None
    assert len(report.failure.message) == 1000
