"""TrustStore: certificates, standings and scores of poolers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.domain.farmer import Farmer
from backend.domain.presence import Attended, HandOver, HandOverReason
from backend.domain.trust import CertificateKind, Issued, Standing
from backend.domain.work import WorkReport
from backend.errors import InvitationError, StoreConflictError
from backend.ports.stores import Stores
from tests.fixtures.rows import POOLER, Rows

BLOCK = 40
DIGEST = bytes(2) + bytes(range(30))


def issued(
    serial: str, kind: CertificateKind = CertificateKind.POOLER, *, pooler: str = "p", minutes: int = 10**6
) -> Issued:
    # The twin in memory has a calendar of its own, which begins in the past.
    return Issued(serial, pooler, kind, datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes))


def invitation(serial: str, *, pooler: str = "p", minutes: int = 15) -> Issued:
    return issued(serial, CertificateKind.INVITATION, pooler=pooler, minutes=minutes)


def report(farmer: Farmer, number: int, *, pooler: str = POOLER) -> WorkReport:
    return WorkReport(f"w{number}", pooler, BLOCK, farmer.farmer_id, DIGEST, 3, 5, 12, "ab" * 32, 130)


async def test_certificates_are_good_until_they_end(stores: Stores) -> None:
    await stores.trust.issue(issued("a1"))
    await stores.trust.issue(issued("a2", minutes=-(10**6)))
    trust = await stores.trust.trust()
    assert dict(trust.certificates) == {"a1": issued("a1")} or set(trust.certificates) == {"a1"}
    assert trust.standings["p"] == (Standing.OPEN, "")


async def test_serial_number_is_used_once(stores: Stores) -> None:
    await stores.trust.issue(issued("a1"))
    with pytest.raises(StoreConflictError):
        await stores.trust.issue(issued("a1", pooler="q"))


async def test_invitation_brings_one_certificate(stores: Stores) -> None:
    await stores.trust.issue(invitation("b1"))
    results = await asyncio.gather(
        *(stores.trust.enrol("b1", issued(f"c{number}")) for number in range(4)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["InvitationError"] * 3 + ["NoneType"]
    trust = await stores.trust.trust()
    assert len(trust.certificates) == 1
    assert trust.standings["p"] == (Standing.ENROLLED, "")


@pytest.mark.parametrize("case", ["unknown", "expired", "other pooler's", "no invitation", "revoked"])
async def test_bad_invitation_brings_nothing(stores: Stores, case: str) -> None:
    if case == "expired":
        await stores.trust.issue(invitation("b1", minutes=-(10**6)))
    elif case == "other pooler's":
        await stores.trust.issue(invitation("b1", pooler="q"))
    elif case == "no invitation":
        await stores.trust.issue(issued("b1"))
    elif case == "revoked":
        await stores.trust.issue(invitation("b1"))
        await stores.trust.set_standing("p", Standing.REVOKED, "why")
    with pytest.raises(InvitationError):
        await stores.trust.enrol("b1", issued("c1"))
    assert "c1" not in (await stores.trust.trust()).certificates


async def test_revocation_voids_every_certificate_and_a_new_invitation_lets_in_again(stores: Stores) -> None:
    await stores.trust.issue(issued("a1"))
    await stores.trust.issue(issued("a2", pooler="q"))
    assert await stores.trust.set_standing("p", Standing.REVOKED, "lost")
    trust = await stores.trust.trust()
    assert set(trust.certificates) == {"a2"}
    assert trust.standings["p"] == (Standing.REVOKED, "lost")
    await stores.trust.issue(invitation("b1"))
    await stores.trust.enrol("b1", issued("a3"))
    trust = await stores.trust.trust()
    assert set(trust.certificates) == {"a2", "a3"}
    assert trust.standings["p"] == (Standing.ENROLLED, "")


async def test_unknown_pooler_has_no_standing_to_change(stores: Stores) -> None:
    assert not await stores.trust.set_standing("nobody", Standing.REVOKED, "why")


async def test_wrong_reports_count_once_each_and_from_the_last_standing_on(stores: Stores, rows: Rows) -> None:
    (farmer,) = await rows.farmers(1)
    assert [await stores.trust.record_wrong(report(farmer, number)) for number in (1, 1, 2)] == [1, 1, 2]
    assert await stores.trust.record_wrong(report(farmer, 1, pooler="q")) == 1
    await stores.trust.set_standing(POOLER, Standing.ENROLLED, "")
    assert await stores.trust.record_wrong(report(farmer, 3)) == 1


async def test_score_tells_what_became_of_a_poolers_farmers(stores: Stores, rows: Rows) -> None:
    first, second = await rows.farmers(2)
    await rows.planted([first, second], BLOCK)
    await stores.works.record(report(first, 1))
    await stores.trust.record_wrong(report(second, 2))
    await rows.planted([first], BLOCK + 1)
    await stores.poolers.attended({POOLER: Attended(77)})
    (score,) = await stores.trust.scores()
    assert (score.pooler_id, score.standing, score.attended_ledger) == (POOLER, Standing.OPEN, 77)
    # The last block is not over: nothing is missing in it yet.
    assert (score.verified, score.late, score.wrong, score.missing) == (1, 0, 1, 1)


async def test_farmers_that_a_pooler_let_lie_are_counted(stores: Stores, rows: Rows) -> None:
    farmers = await rows.farmers(3)
    await rows.planted(farmers, BLOCK)
    await stores.poolers.attended({POOLER: Attended(77)})
    reasons = (HandOverReason.IDLE, HandOverReason.SILENT, HandOverReason.IDLE)
    await stores.poolers.hand_over(
        [
            HandOver(BLOCK, farmer.farmer_id, 2, "b", POOLER, reason, 130)
            for farmer, reason in zip(farmers, reasons, strict=True)
        ]
    )
    (score,) = await stores.trust.scores()
    assert score.idle == 2
