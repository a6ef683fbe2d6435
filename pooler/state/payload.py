"""A report as text in the journal, and back."""

import json
from typing import Any

from pooler.domain.assignment import Accepted, Failure, Find, Reason
from pooler.domain.report import Report


def packed(report: Report) -> str:
    """The report as JSON; nonces as decimal text, digests as hexadecimal."""
    outcome = report.outcome
    fields: dict[str, Any] = {
        "report_id": report.report_id,
        "block_index": report.block_index,
        "farmer_id": report.farmer_id,
        "address": report.address,
    }
    if isinstance(outcome, Failure):
        fields["failed"] = {"reason": outcome.reason.value, "message": outcome.message}
    else:
        find = outcome.find
        fields["accepted"] = {
            "zeros": outcome.zeros,
            "gap": outcome.gap,
            "find": None if find is None else [find.zeros, str(find.nonce), find.digest.hex()],
            "transaction_hash": outcome.transaction_hash,
            "ledger_sequence": outcome.ledger_sequence,
        }
    return json.dumps(fields)


def unpacked(payload: str) -> Report:
    """The report that `packed` wrote."""
    fields = json.loads(payload)
    failed, accepted = fields.pop("failed", None), fields.pop("accepted", None)
    if failed is not None:
        return Report(**fields, outcome=Failure(Reason(failed["reason"]), failed["message"]))
    find = accepted.pop("find")
    ours = None if find is None else Find(find[0], int(find[1]), bytes.fromhex(find[2]))
    return Report(**fields, outcome=Accepted(**accepted, find=ours))
