"""What a worker can run: the handlers of its sagas, and the resources that they take (rule C7)."""

from collections.abc import Container, Mapping
from functools import cached_property

from sagas.binding import BoundHandler
from sagas.inputs import RefusalReason
from sagas.ports import Command
from sagas.seal import Sealed


class Handlers:
    """The handlers of sealed sagas by name. `resources` are the kinds that can be made here."""

    def __init__(self, sagas: Mapping[str, Sealed], resources: Container[type]) -> None:
        self._sagas = sagas
        self._resources = resources

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The queues of all sagas that there are handlers of."""
        return tuple(sorted({queue for sealed in self._sagas.values() for queue in sealed.manifest.queues}))

    def bound(self, command: Command) -> BoundHandler | None:
        """The handler that the command names, if there is one."""
        sealed = self._sagas.get(command.definition)
        return sealed.handlers.get((command.step, command.role)) if sealed is not None else None

    def why_not(self, command: Command) -> RefusalReason | None:
        """Why the command cannot be run here; `None` when it can. The probe of a transaction step asks its key."""
        bound = self.bound(command)
        if bound is None:
            return None if command.role == "probe" and self.is_transactional(command) else "no_handler"
        return None if all(kind in self._resources for kind in bound.resources.values()) else "no_resource"

    def is_transactional(self, command: Command) -> bool:
        """Whether the command's step runs in a transaction of its own (rule T1)."""
        sealed = self._sagas.get(command.definition)
        step = sealed.handlers.get((command.step, "step")) if sealed is not None else None
        return step is not None and step.transactional

    def heartbeat_timeout(self, command: Command) -> float | None:
        """Seconds within which the handler says that it is alive.

        Not of the saga's own manifest: whether a handler does so is a matter of the code that runs.
        """
        if command.role != "step":
            return None
        return self._sagas[command.definition].manifest.by_name[command.step].heartbeat_timeout
