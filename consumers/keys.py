"""Names of streams and groups (design section 4). Braces are hash tags: what belongs together stays on one node."""

from consumers.priorities import PRIORITIES
from sagas.manifest import Priority

OUTCOMES = "amends:{o-0}:outcomes"
SET_ASIDE = "amends:{set-aside}"
WORKERS, ORCHESTRATORS = "workers", "orchestrator"


def command_key(queue: str, priority: Priority) -> str:
    """The stream of a queue's commands of one priority."""
    return f"amends:{{q-{queue}}}:commands:{priority}"


def queue_of(key: str) -> tuple[str, Priority]:
    """The queue and priority that a stream is for."""
    name, _, priority = key.removeprefix("amends:{q-").partition("}:commands:")
    return name, next(known for known in PRIORITIES if known == priority)
