"""The versions between which the simulator moves sagas, and workers that lack some of what they need."""

from random import Random

import pytest

from amends.testing.simulator import batch
from amends.testing.simulator.versions import PAUSE, lacking, next_version
from sagas.manifest import Manifest
from sagas.migrating import misfits_of
from sagas.seal import Sealed
from sagas.serving import gaps_of
from sagas.state import State

SEALED = {one.name: one.seal() for saga in batch.sagas_of([]) for one in saga.family()}


def begun(manifest: Manifest) -> State:
    return State("s", definition=manifest.name, fingerprint=manifest.fingerprint, facts={"when:input.flag": True})


@pytest.mark.parametrize("sealed", SEALED.values(), ids=SEALED.keys())
def test_what_is_deployed_serves_both_versions_and_sagas_move_to_and_fro(sealed: Sealed) -> None:
    old, new = sealed.manifest, next_version(sealed.manifest)
    assert list(gaps_of(new, begun(new), SEALED)) == []
    facts = {f"{kind}:{path}": True for path, kind in (*old.paths, *new.paths)}
    for before, after in ((old, new), (new, old)):
        state = State("s", definition=before.name, fingerprint=before.fingerprint, facts=facts)
        assert list(misfits_of(before, after, state)) == []
    assert new.pivot == old.pivot or (new.pivot and old.pivot and new.pivot.name == old.pivot.name)


def test_versions_differ_in_all_that_a_team_changes() -> None:
    pairs = [(sealed.manifest, next_version(sealed.manifest)) for sealed in SEALED.values()]
    both = [(node, new.by_name[node.name]) for old, new in pairs for node in old.nodes]
    for name in ("after", "probe", "fallback", "when", "unless", "schedule_timeout", "concurrency", "handler"):
        assert any(getattr(before, name) != getattr(after, name) for before, after in both), name
    assert any(PAUSE in new.by_name for _, new in pairs)


def test_a_worker_lacks_a_step_with_all_of_its_functions_or_a_whole_saga() -> None:
    found = lacking(SEALED, Random(1))
    assert found.keys() < SEALED.keys()
    gone = {(name, step) for name in found for step, _ in SEALED[name].handlers.keys() - found[name].handlers.keys()}
    assert gone
    assert all((step, "step") not in found[name].handlers for name, step in gone)
