"""The versions of a saga that run in a simulation."""

from dataclasses import replace

from sagas.manifest import Handler, Manifest, Node, RetryPolicy
from sagas.seal import Sealed

LONGEST_SECONDS = 60.0
"""What may last longer lasts so long: behind it a run would idle for virtual days."""
SLEEP_SECONDS = 4.0
"""A sleep is over while things still go wrong."""


def shortened(sealed: Sealed) -> Sealed:
    """The saga whose timeouts, delays and sleeps are no longer than a run can wait for."""
    manifest = replace(sealed.manifest, nodes=tuple(map(_shortened, sealed.manifest.nodes)))
    return Sealed(manifest, sealed.handlers, sealed.saga)


def next_version(manifest: Manifest) -> Manifest:
    """The same saga with a little more patience: what a team deploys next, and moves open sagas to."""
    nodes = tuple(
        node if node.handler is None else replace(node, handler=replace(node.handler, retry=_more(node.handler.retry)))
        for node in manifest.nodes
    )
    return replace(manifest, nodes=nodes)


def _shortened(node: Node) -> Node:
    return replace(
        node,
        handler=_shorter(node.handler),
        undo=_shorter(node.undo),
        probe=_shorter(node.probe),
        fallback=_shorter(node.fallback),
        length=None if node.length is None else min(node.length, SLEEP_SECONDS),
    )


def _shorter(handler: Handler | None) -> Handler | None:
    if handler is None:
        return None
    delays = tuple(min(delay, LONGEST_SECONDS) for delay in handler.retry.delays)
    retry = replace(handler.retry, delays=delays)
    return replace(handler, timeout=min(handler.timeout, LONGEST_SECONDS), retry=retry)


def _more(policy: RetryPolicy) -> RetryPolicy:
    return replace(policy, delays=(*policy.delays, 1.0))
