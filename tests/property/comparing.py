"""The reduced walk of the prover beside the full one; `python -m tests.property.comparing --seed 7` repeats a seed."""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable

from sagas.manifest import Manifest
from sagas.prove import Proof, prove
from tests.property.provable import provable_of

LIMIT = 4_000
TOLD_EVERY = 100
ROLES = ("each", "when", "unless", "undo", "probe", "fallback", "schedule_timeout")


def compared(manifest: Manifest, limit: int, *, started: bool = False) -> Proof | None:
    """The full walk, or nothing where it is larger than `limit`; what both walks say has to be the same."""
    full = prove(manifest, limit, reduced=False, started=started)
    if not full.complete:
        return None
    walked = prove(manifest, limit, started=started)
    assert walked.states <= full.states
    for name in ("complete", "good", "ends", "asked", "windows"):
        assert getattr(walked, name) == getattr(full, name), name
    for name in ("holes", "above"):
        said, known = ({hole.what for hole in getattr(proof, name)} for proof in (walked, full))
        assert said <= known, f"{name} that the full walk does not find: {said - known}"
        assert kinds(said) == kinds(known), f"kinds of {name}"
    return full


def kinds(holes: Iterable[str]) -> set[str]:
    """What is wrong, without where: one step stands for others of its kind."""
    return {what.split(":", maxsplit=1)[0] for what in holes if ":" in what} | {
        "other" for what in holes if ":" not in what
    }


def shapes(manifest: Manifest, proof: Proof, *, started: bool) -> set[str]:
    """What of the language a saga uses, and what was found."""
    found = {node.kind for node in manifest.nodes} | {
        role for role in ROLES if any(getattr(node, role) is not None for node in manifest.nodes)
    }
    also = {
        "pivot": manifest.pivot is not None, "deadline": manifest.deadline is not None, "started": started,
        "hole": bool(proof.holes), "above": bool(proof.above), "several": len(manifest.nodes) > 1,
    }  # fmt: skip
    return {str(one) for one in found} | {name for name, holds in also.items() if holds}


def compare(seeds: Iterable[int], limit: int) -> Counter[str]:
    """Compare the sagas of these seeds; how many there were of each shape, and `all`.

    Raises:
        AssertionError: the walks differ; the seed is named.
    """
    met: Counter[str] = Counter()
    for seed in seeds:
        rng = random.Random(seed)
        manifest, started = provable_of(rng), rng.random() < 0.5
        try:
            proof = compared(manifest, limit, started=started)
        except AssertionError as error:
            error.add_note(f"seed {seed}: python -m tests.property.comparing --seed {seed}")
            raise
        if proof is not None:
            met.update(["all", *shapes(manifest, proof, started=started)])
    return met


def main() -> None:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="comparing")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=int, default=LIMIT, help="states of a full walk that is not too large")
    asked = parser.parse_args()
    first, last = (asked.seed, asked.seed + 1) if asked.seed is not None else (asked.first, asked.first + asked.seeds)
    met: Counter[str] = Counter()
    for start in range(first, last, TOLD_EVERY):
        met += compare(range(start, min(start + TOLD_EVERY, last)), asked.limit)
        sys.stdout.write(f"seeds to {min(start + TOLD_EVERY, last) - 1}: {dict(sorted(met.items()))}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{met['all']} random sagas, walked in every order and with what is left out: the same is found\n")


if __name__ == "__main__":
    main()
