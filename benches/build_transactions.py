"""How fast transactions are built: plants built, signed and fee-bumped, each for another farmer."""

import argparse
import json
import time

from kale_chain.model import FarmIdentity
from kale_chain.tx import Bounds, FarmCalls, Signer, fee_bump
from kale_chain.xdr import keys

ROUNDS = 5


def main() -> None:
    """Measure and print the best and the median round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farmers", type=int, default=500, help="plants in a round (default: 500)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rounds = sorted(measure(options.farmers))
    figures = {
        "farmers": options.farmers,
        "best_microseconds_per_plant": round(rounds[0] * 1e6),
        "median_microseconds_per_plant": round(rounds[len(rounds) // 2] * 1e6),
    }
    print(json.dumps(figures) if options.json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def measure(count: int) -> list[float]:
    """Seconds a plant took in each round; in the first one the caches are cold."""
    master = Signer.generate()
    farmers = [Signer.generate() for _ in range(count)]
    issuer, passphrase = master.address, "benchmark"
    token_id = keys.token_id("KALE", issuer, passphrase)
    calls = FarmCalls(FarmIdentity(token_id, token_id, "KALE", issuer, bytes(32), issuer, passphrase))
    seconds = []
    for index in range(ROUNDS):
        started = time.perf_counter()
        for farmer in farmers:
            plant = calls.plant(
                farmer=farmer.address,
                stake=10_000_000,
                block_index=index,
                sequence=index + 1,
                bounds=Bounds(100, max_ledger=104),
            )
            _ = fee_bump(plant.signed_by(farmer), master).envelope
        seconds.append((time.perf_counter() - started) / count)
    return seconds


if __name__ == "__main__":
    main()
