"""Handlers as workers hold them: arguments are validated on the way in, results on the way out."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from sagas.answers import CannotTell, DidNotHappen, Given, Happened
from sagas.declared import Declared, DeclaredHandler
from sagas.errors import ArgumentError, ResultError
from sagas.events import Json
from sagas.forms import NOTHING, Form, Shape, given_of
from sagas.manifest import Parameter, Role
from sagas.values import UnfitError, Values

ProbeAnswer = tuple[Literal["happened", "did_not_happen", "cannot_tell"], Json, str | None]
FROM_COMMAND = frozenset({"item", "result", "node", "input"})


class BoundHandler:
    """One function of a saga, ready to be called by a worker.

    `parameters` says what each takes; `resources` the types that the worker must make, by parameter name.
    """

    def __init__(self, node: Declared, role: Role, handler: DeclaredHandler) -> None:
        self.step = node.name
        self.role: Role = role
        self.function: Callable[..., Any] = handler.signature.function
        self.is_async = handler.signature.is_async
        self.parameters: tuple[Parameter, ...] = handler.parameters
        self.transactional = handler.transactional
        self.resources: Mapping[str, type] = dict(handler.resources)
        forms = handler.signature.parameters
        self._given: dict[str, Shape | None] = {
            entry.name: given_of(forms[entry.name])[1] for entry in handler.parameters if entry.given
        }
        self._values = {
            entry.name: Values(given_of(forms[entry.name])[0])
            for entry in handler.parameters
            if entry.source in FROM_COMMAND
        }
        returns: Form = node.gives if role == "probe" else handler.signature.returns
        self._result = Values(NOTHING if returns is None else returns)

    def arguments(
        self, values: Mapping[str, Json], given: Mapping[str, Json], *, without_result: bool = False
    ) -> dict[str, Any]:
        """The arguments that come with a command, each validated against its annotation.

        `without_result` leaves the step's own result out, where it is not known yet (rule T2).

        Raises:
            ArgumentError: one does not fit; it names the step, the parameter and the field. Nothing has run.
        """
        found: dict[str, Any] = {}
        for name, kind in self._values.items():
            if without_result and name == "result":
                continue
            try:
                value = kind.load(values.get(name))
            except UnfitError as unfit:
                raise ArgumentError(self.step, name, *unfit.errors[0]) from None
            found[name] = _with_given(value, given.get(name), self._given.get(name))
        return found

    def takes_nothing(self, name: str) -> bool:
        """Whether a parameter that comes with the command may be null."""
        try:
            self._values[name].load(None)
        except UnfitError:
            return False
        return True

    def dump(self, result: object) -> Json:
        """The result as JSON.

        Raises:
            ResultError: it is not what the handler declares.
        """
        try:
            return self._result.store(result)
        except UnfitError as unfit:
            raise ResultError(self.step, self.function.__name__, *unfit.errors[0]) from None

    def load(self, value: Json) -> Any:
        """The result that is stored so, as the handler gives it."""
        return self._result.load(value)

    def dump_probe(self, answer: object) -> ProbeAnswer:
        """A probe's answer, its result as JSON, and why it cannot tell.

        Raises:
            ResultError: it is no answer of a probe.
        """
        if isinstance(answer, Happened):
            return "happened", self.dump(cast("Any", answer).result), None
        if isinstance(answer, DidNotHappen):
            return "did_not_happen", None, None
        if isinstance(answer, CannotTell):
            return "cannot_tell", None, answer.why or None
        raise ResultError(self.step, self.function.__name__, "", "Happened, DidNotHappen or CannotTell is needed")


def _with_given(value: Any, how: Json, shape: Shape | None) -> Any:
    """`how` is what the engine says of a result: whether it is a fallback's and why; a list of these under `each`."""
    if shape is None or (shape == "each" and value is None):
        return value
    if shape == "each":
        return [_with_given(one, said, "whole") for one, said in zip(value, how, strict=True)]
    fallback, reason = (how["fallback"], how["reason"]) if how else (False, None)
    return Given[Any](value, fallback, reason)
