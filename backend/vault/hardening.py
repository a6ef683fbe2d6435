"""Makes a process that holds seeds in clear hard to look into: no core dump, no tracing, no swapping."""

import ctypes
import resource
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4
_MCL_CURRENT = 1
_MCL_FUTURE = 2


@dataclass(frozen=True, slots=True)
class Hardening:
    """What the system granted.

    Attributes:
        undumpable: The kernel writes no core dump of this process, and others of this user cannot trace it.
        locked: Its memory is not swapped out.
    """

    undumpable: bool
    locked: bool


def harden() -> Hardening:
    """Forbids core dumps and tracing, and locks the memory as far as the limits allow (RLIMIT_MEMLOCK)."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    libc = ctypes.CDLL(None, use_errno=True)
    undumpable = libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    return Hardening(undumpable, locked=_lock(libc))


def _lock(libc: ctypes.CDLL) -> bool:
    """Locks everything only where nothing limits it: past a limit, later allocations would fail."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY:
        return False
    return bool(libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0)
