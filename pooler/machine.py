"""How busy this machine is."""

import os

import psutil


class MachineLoad:
    """The load of the cores this process may use, since the last time it was asked.

    Args:
        usable_cores: How many cores the process may keep busy at a time.
    """

    def __init__(self, usable_cores: int) -> None:
        self._usable = usable_cores
        self._cores = sorted(os.sched_getaffinity(0))
        psutil.cpu_percent(percpu=True)

    def __call__(self) -> float:
        """1 when every usable core is busy, 0 when all are idle."""
        percents = psutil.cpu_percent(percpu=True)
        busy = sum(percents[core] for core in self._cores if core < len(percents)) / 100
        return min(1.0, busy / self._usable)
