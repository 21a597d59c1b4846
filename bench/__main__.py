"""`python -m bench`: the same as `amends bench`."""

import argparse
import json
import sys
from pathlib import Path

from bench.command import SYSTEMS, Plan, run
from bench.rows import Row
from bench.sagas import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="amends bench")
    parser.add_argument("--systems", default="amends,floor")
    parser.add_argument("--workload", default="forward")
    parser.add_argument("--window", default="200")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm", type=float, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--orchestrators", type=int, default=1)
    parser.add_argument("--peers", type=Path, default=Path(".bench"))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    plan = Plan(asked.systems.split(","), asked.workload.split(","), [int(one) for one in asked.window.split(",")],
                asked.rounds, asked.seconds, asked.warm, asked.workers, asked.orchestrators, asked.peers)

    def tell(row: Row) -> None:
        roles = " ".join(f"{role}={ms:.3f}" for role, ms in row.cpu_ms_by_role.items())
        print(f"{row.system} {row.workload} w={row.window} r={row.round}: {row.sagas_per_second:.1f}/s p50 {row.p50_ms:.2f} "
              f"p99 {row.p99_ms:.2f} cpu {row.cpu_ms_per_saga:.3f} ms [{roles}] foreign {row.foreign_cpu:.2f} "
              f"yard {row.yardstick_ms:.1f} wrong {row.wrong}", file=sys.stderr, flush=True)

    rows, missing = run(plan, tell)
    if asked.json:
        print(json.dumps({"rows": [row.document() for row in rows], "missing": missing}, indent=2))


if __name__ == "__main__":
    main()
