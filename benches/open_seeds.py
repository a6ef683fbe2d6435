"""How long it takes to open farmers' sealed seeds and sign with them, each used for one signature."""

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from backend.vault import FileKeys, KeyRing, Seeds, create_key_file

ROUNDS = 5


def main() -> None:
    """Measure and print the best and the median round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=500, help="signatures in a round (default: 500)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rounds = sorted(measure(options.farmers))
    figures = {
        "farmers": options.farmers,
        "best_milliseconds": round(1000 * rounds[0], 1),
        "median_milliseconds": round(1000 * rounds[len(rounds) // 2], 1),
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def measure(count: int) -> list[float]:
    """Seconds in which every farmer's seed was opened and signed with, in each round."""
    with tempfile.TemporaryDirectory() as folder:
        create_key_file(Path(folder) / "key")
        seeds = Seeds(KeyRing([FileKeys(Path(folder) / "key")]), "benchmark")
        keys = [seeds.create(uuid4()) for _ in range(count)]
    digest = hashlib.sha256(b"a transaction").digest()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for key in keys:
            seeds.signer(key).signature(digest)
        seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
