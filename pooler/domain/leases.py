"""Who uses which channel account: each carries at most one pending transaction."""

from collections.abc import Callable


class Leases:
    """Numbers of channel accounts, leased one by one; those free longest come first.

    Args:
        count: Gives the number of channel accounts now; it may grow.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._known = 0
        self._free: list[int] = []
        self._leased: set[int] = set()

    def take(self) -> int | None:
        """A free channel's number; None if all are in use."""
        while self._known < self._count():
            if self._known not in self._leased:
                self._free.append(self._known)
            self._known += 1
        if not self._free:
            return None
        number = self._free.pop(0)
        self._leased.add(number)
        return number

    def claim(self, number: int) -> None:
        """Marks a channel as in use, as found after a restart."""
        self._leased.add(number)
        if number in self._free:
            self._free.remove(number)

    def give_back(self, number: int) -> None:
        """A channel has nothing pending any more."""
        if number in self._leased:
            self._leased.remove(number)
            if number < self._known:
                self._free.append(number)
