"""Watching the RPC endpoints: one that is silent or lags has no vote, and somebody must be told."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from backend.ports.chain import EndpointProbe, EndpointReport

_log = structlog.get_logger()

PROBE_SECONDS = 5.0
"""Upper bound between two looks; every closed ledger looks as well."""


class EndpointWatch:
    """Keeps the latest report of every endpoint and raises an alarm when one loses its vote."""

    def __init__(self, probe: EndpointProbe) -> None:
        self._probe = probe
        self._faults: dict[str, str | None] = {}
        self.reports: Sequence[EndpointReport] = ()

    async def act(self) -> None:
        """Looks once."""
        self.reports = await self._probe.reports()
        for report in self.reports:
            before, self._faults[report.name] = self._faults.get(report.name), report.fault
            if report.fault is not None and before is None:
                _log.error("an RPC endpoint has lost its vote", endpoint=report.name, reason=report.fault)
            elif report.fault is None and before is not None:
                _log.info("an RPC endpoint votes again", endpoint=report.name, ledger=report.latest)
