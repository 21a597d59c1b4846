"""Which faults of a run had an effect: one that hits nothing shows nothing."""

from collections import Counter
from collections.abc import Callable

from amends.testing.simulator.hosts import SimulatedLoop
from amends.testing.simulator.script import Fault

Count = Callable[[], int]


class Effects:
    """Counts the faults of each kind that had one (`had`), and those that had none (`idle`)."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.had: Counter[str] = Counter()
        self.idle: Counter[str] = Counter()
        self._loop = loop
        self._watched: dict[Fault, tuple[Count, int]] = {}

    def tell(self, fault: Fault, effect: object) -> None:
        """A fault has happened, and had an effect if this is true."""
        (self.had if effect else self.idle)[fault.kind] += 1

    def watch(self, fault: Fault, count: Count, seconds: float | None = None) -> None:
        """It has an effect if this counts on, within so many seconds; else until everything is healed."""
        self._watched[fault] = count, count()
        if seconds is not None:
            self._loop.later(seconds, self._judge, fault)

    def none_yet(self, fault: Fault) -> bool:
        """Whether one that is watched has had no effect so far."""
        count, before = self._watched.get(fault, (int, -1))
        return count() == before

    def finish(self, never: list[Fault]) -> None:
        """Everything is healed; these never happened."""
        for fault in list(self._watched):
            self._judge(fault)
        for fault in never:
            self.tell(fault, effect=False)

    def _judge(self, fault: Fault) -> None:
        if fault in self._watched:
            count, before = self._watched.pop(fault)
            self.tell(fault, count() != before)
