"""How long our own transactions take into the ledger, learned from those that were sent."""

from collections import deque

_REMEMBERED = 500
_PRIOR_SENT = 100
_PRIOR_LOST = 1
_USUAL_SHARE = 0.9
_LONGEST = 3


class Latency:
    """The lag of transactions, and how many are lost.

    A transaction sent after ledger n closed that ledger n + 1 applies has lag 0. Until some were seen, all have lag 0
    but one in a hundred, which is lost.
    """

    def __init__(self) -> None:
        self._lags: deque[int | None] = deque(maxlen=_REMEMBERED)

    def applied(self, lag: int) -> None:
        """A transaction was applied `lag` ledgers (0 or more) later than it could have been."""
        self._lags.append(max(lag, 0))

    def lost(self) -> None:
        """No ledger took a transaction before it expired."""
        self._lags.append(None)

    @property
    def loss(self) -> float:
        """The share of transactions that no ledger takes; above 0 and below 1."""
        lost = self._lags.count(None)
        return (lost + _PRIOR_LOST) / (len(self._lags) + _PRIOR_SENT)

    @property
    def usual(self) -> int:
        """The lag that nine of ten transactions which are applied do not exceed; 3 at most."""
        lags = sorted(lag for lag in self._lags if lag is not None)
        if not lags:
            return 0
        return min(lags[min(int(len(lags) * _USUAL_SHARE), len(lags) - 1)], _LONGEST)
