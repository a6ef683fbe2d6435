"""A process that holds seeds leaves no core dump and cannot be traced by its own user."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOK = """
import ctypes, json, resource
from backend.vault.hardening import harden
granted = harden()
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(json.dumps([granted.undumpable, dumpable, resource.getrlimit(resource.RLIMIT_CORE)[0]]))
"""


def test_hardened_process_is_not_dumped() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], check=True, capture_output=True, cwd=ROOT)
    assert json.loads(found.stdout) == [True, 0, 0]
