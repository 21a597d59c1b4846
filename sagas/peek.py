"""What an orchestrator sees at a glance: whether there is anything to do, and when there will be."""

from sagas.records import record


@record
class Peek:
    """By the store's clock. Held sagas do not count, nor those that a newer program wrote to.

    `unsent`: some command is marked. `unconfirmed_since`: when the oldest command was scheduled that nobody confirmed.
    `due_at`: when the next wait is due that `Store.due` may give.
    """

    now: float
    unsent: bool
    unconfirmed_since: float | None
    due_at: float | None
