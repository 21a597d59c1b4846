"""Lists of sagas: which ones are asked for, and how each is shown."""

from sagas.records import record
from sagas.state import State
from sagas.statuses import WaitKind


@record
class SagaRow:
    """A saga as lists show it; `cursor` is where a page after it begins."""

    state: State
    created_at: float
    updated_at: float
    cursor: str


@record
class SagaFilter:
    """Which sagas a list shows.

    `waiting`: with such an open wait; `held`: open, and held or not; `may_run`: not at
    an end, or compensated with an operator's wait, whose undo may be tried again.
    """

    definition: str | None = None
    status: str | None = None
    key: str | None = None
    key_prefix: str | None = None
    held: bool | None = None
    waiting: WaitKind | None = None
    after: str | None = None
    limit: int = 50
    may_run: bool = False
