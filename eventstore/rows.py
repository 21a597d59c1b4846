"""What both stores have to agree on: which heads free their key."""

from sagas.state import State


def frees_key(state: State) -> bool:
    """Whether the saga has no claim on its business key any more (def_R23, rule B4)."""
    return state.status == "compensated" or state.closed
