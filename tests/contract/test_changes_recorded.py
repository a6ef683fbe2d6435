"""The audit trail of changes beside blocks: whoever makes them, they are recorded and sealed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.db import open_stores
from backend.db.database import Database
from backend.db.tokens import SqlTokenStore
from backend.db.trail import change_trail
from backend.domain.access import NewToken, Scope, acting_as, digest_of, new_token
from backend.domain.audit import verify
from backend.domain.farmer import Farmer, FarmerChange, FarmerState
from backend.domain.payout import PayoutAddress, PayoutRules, Reach, Switch
from backend.domain.trust import CertificateKind, Issued, Standing
from backend.domain.withdrawal import Destination, NewWithdrawal, PayoutReason, Refusal, WithdrawalKind
from backend.errors import BackendError
from backend.ports.stores import Stores
from kale_chain.model import Memo, MemoKind
from tests.fixtures.rows import Rows
from tests.fixtures.stores import Query

PAYEE = "GAA2M7F4E3C26N5Z2BMMVT5GQYHZ4E6KSGTYSLXKK4WO4IYPIOZUPYTR"
RULES = PayoutRules(1, 2, 3, 4, None, 0, 5)

Changes = list[tuple[str, Any]]


@pytest.fixture
async def farmer(stores: Stores, rows: Rows) -> Farmer:
    """A farmer; its onboarding is no change of a setting."""
    (made,) = await rows.farmers(1)
    return await stores.farmers.get(made.farmer_id)


async def changes(url: str, farmer: Farmer | None = None) -> Changes:
    """What the trail shows, oldest first."""
    database = Database(url, max_connections=1)
    try:
        lines = await change_trail(database, None if farmer is None else farmer.farmer_id, 100)
    finally:
        await database.close()
    return [(line.what, line.details) for line in lines]


async def test_settings_are_recorded_with_what_they_were_and_who_changed_them(
    stores: Stores, farmer: Farmer, application_url: str, query: Query
) -> None:
    with acting_as("token website"):
        await stores.farmers.update(farmer.farmer_id, FarmerChange(harvest_after_blocks=9, labels={"team": "a"}))
    await stores.farmers.update(farmer.farmer_id, FarmerChange(harvest_after_blocks=9))
    await stores.farmers.update(farmer.farmer_id, FarmerChange(state=FarmerState.INACTIVE))
    query("UPDATE farmers SET fixed_stake = 7")  # by whatever way
    before = farmer.harvest_after_blocks
    assert await changes(application_url, farmer) == [
        (
            "settings_changed",
            {"harvest_after_blocks": [before, 9], "labels": [{}, {"team": "a"}], "by": "token website"},
        ),
        ("settings_changed", {"status": ["active", "inactive"]}),
        ("settings_changed", {"fixed_stake": [None, 7]}),
    ]


async def test_tokens_are_recorded_when_they_are_made_and_revoked_without_their_secret(
    farmer: Farmer, application_url: str, query: Query
) -> None:
    database = Database(application_url, max_connections=1)
    secret = new_token()
    digest = digest_of(secret)
    assert digest is not None
    try:
        tokens = SqlTokenStore(database)
        with acting_as("command of ann"):
            token = await tokens.create(NewToken(digest, "site", frozenset({Scope.READ}), 1, farmer.farmer_id))
        await tokens.revoke(token.token_id)
        await tokens.revoke(token.token_id)
    finally:
        await database.close()
    (made, made_details), (revoked, revoked_details) = await changes(application_url, farmer)
    assert (made, revoked) == ("token_created", "token_revoked")
    assert (made_details["token_id"], made_details["scopes"]) == (str(token.token_id), ["read"])
    assert (made_details["by"], revoked_details["label"]) == ("command of ann", "site")
    recorded = str(query("SELECT data FROM block_events"))
    assert secret not in recorded
    assert digest.hex() not in recorded


async def test_where_and_how_much_may_be_paid_is_recorded(stores: Stores, farmer: Farmer, application_url: str) -> None:
    store = stores.withdrawals
    assert await store.note_limits(RULES)
    assert not await store.note_limits(RULES)
    assert await store.note_limits(replace(RULES, pool_day_stroops=30))
    assert await store.note_limits(RULES)
    await store.set_cut(250, 12)
    with acting_as("token ann"):
        await store.set_payout(
            farmer.farmer_id, PayoutAddress(Destination(PAYEE, Memo(MemoKind.ID, "7")), locked=True, effective_time=5)
        )
    await store.turn(Switch(paused=True, reason="a leak"))
    await store.turn(Switch(paused=False, reason="closed"))
    recorded = await changes(application_url)
    assert [what for what, _ in recorded] == [
        *("limits_set", "limits_set", "limits_set", "cut_set"),
        *("payout_set", "withdrawals_paused", "withdrawals_resumed"),
    ]
    assert [details["pool_day"] for what, details in recorded if what == "limits_set"] == [3, 30, 3]
    assert [details for _, details in recorded[3:]] == [
        {"basis_points": 250, "from_block": 12},
        {"destination": PAYEE, "memo": "id:7", "locked": True, "effective_time": 5, "by": "token ann"},
        {"reason": "a leak"},
        {"reason": "closed"},
    ]


async def test_withdrawals_are_recorded_step_by_step(stores: Stores, farmer: Farmer, application_url: str) -> None:
    await stores.money.skip(100)
    assert await stores.money.reconcile(100, {farmer.address: 1000}) == 1
    new = NewWithdrawal(
        farmer.farmer_id, WithdrawalKind.PAYMENT, "w-1", Destination(PAYEE), 400, 1_750_000_000, 101, takes_cut=True
    )
    with acting_as("token ann"):
        asked = await stores.withdrawals.request(new, Reach(0, 0, 0))
    with acting_as("command of bob"):
        await stores.withdrawals.refuse(asked.withdrawal_id, Refusal(PayoutReason.OPERATOR, "by phone"))
    recorded = await changes(application_url, farmer)
    assert [(what, details.get("from"), details.get("to"), details["by"]) for what, details in recorded] == [
        ("withdrawal_requested", None, None, "token ann"),
        ("withdrawal_moved", "requested", "reserved", "token ann"),
        ("withdrawal_moved", "reserved", "refused", "command of bob"),
    ]
    assert recorded[-1][1]["error_message"] == "by phone"
    assert {details["destination"] for _, details in recorded} == {PAYEE}


async def test_poolers_let_in_and_shut_out_are_recorded(stores: Stores, application_url: str, query: Query) -> None:
    issued = Issued("ab", "p-1", CertificateKind.POOLER, datetime.now(UTC) + timedelta(days=1))
    await stores.trust.issue(issued)
    await stores.trust.set_standing("p-1", Standing.REVOKED, "lost")
    recorded = await changes(application_url)
    assert [what for what, _ in recorded] == ["certificate_issued", "pooler_changed", "certificate_revoked"]
    assert recorded[1][1] == {"from": "open", "to": "revoked", "reason": "lost"}
    assert query("SELECT DISTINCT pooler_id FROM block_events") == [("p-1",)]


async def test_changes_are_links_of_the_chain(stores: Stores, farmer: Farmer, query: Query) -> None:
    await stores.withdrawals.turn(Switch(paused=True, reason="a leak"))
    await stores.farmers.update(farmer.farmer_id, FarmerChange(harvest_after_blocks=9))
    head = await stores.events.seal()
    assert head.number == 2
    assert (await verify(stores.events.links(), head)).fault is None
    query("SET session_replication_role = replica; UPDATE block_events SET data = '{}' WHERE event_type LIKE 'with%'")
    assert "number 1" in ((await verify(stores.events.links())).fault or "")


async def test_change_that_is_taken_back_leaves_no_trace(farmer: Farmer, application_url: str, query: Query) -> None:
    opened = await open_stores(application_url, max_connections=1, owner_allowed=False)
    try:
        with pytest.raises(BackendError, match="stake_percentage"):
            await opened.farmers.update(farmer.farmer_id, FarmerChange(stake_basis_points=10_001))
    finally:
        await opened.close()
    assert query("SELECT * FROM block_events") == []
