"""Applications: sagas with what belongs to them, found by the names in `AMENDS_SAGAS` (design section 9)."""

import importlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from sagas.definition import Saga
from sagas.errors import DefinitionError

if TYPE_CHECKING:
    from aiohttp import web

    from amends.backend import Backend

    RouteHandler = Callable[[web.Request, Backend], Awaitable[web.StreamResponse]]

Role = Literal["viewer", "producer", "operator"]
BODY_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class Route:
    """An endpoint of an application. `role` is the least that the caller's key must have."""

    method: str
    path: str
    handler: "RouteHandler"
    role: Role = "producer"
    body_bytes_max: int = BODY_BYTES_MAX


class App:
    """Sagas together with their HTTP routes and the SQL migrations of their tables (a folder of `NNNN_name.sql`)."""

    def __init__(
        self,
        name: str,
        *,
        sagas: Sequence[Saga[Any, Any]],
        routes: Sequence[Route] = (),
        migrations: Path | None = None,
    ) -> None:
        self.name = name
        self.sagas = tuple(sagas)
        self.routes = tuple(routes)
        self.migrations = migrations


class NoApplicationError(DefinitionError):
    """A name leads to no application: there is nothing by it, or something else."""


def load_applications(names: Sequence[str]) -> list[App]:
    """The applications that `module` or `module:attribute` name; a module with bare sagas is one too.

    Raises:
        NoApplicationError: there is no such module or attribute, or it holds no saga.
        DefinitionError: two sagas share a name, or one does not hold together.
    """
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: list[App] = []
    for name in dict.fromkeys(names):
        found += _load(name)
    owners: dict[str, str] = {}
    for app in found:
        for saga in app.sagas:
            if saga.name in owners:
                raise DefinitionError(
                    f"two sagas are called '{saga.name}': in {owners[saga.name]} and in {app.name}\n"
                    "  remedy: rename one"
                )
            owners[saga.name] = app.name
    return found


def _load(name: str) -> list[App]:
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise NoApplicationError(f"{name!r} names no module\n  remedy: write module or module:attribute")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module_name.startswith(missing.name):
            raise
        raise NoApplicationError(
            f"there is no module '{module_name}'\n"
            "  remedy: name one that can be imported from here, as module or module:attribute"
        ) from missing
    if attribute:
        if not hasattr(module, attribute):
            raise NoApplicationError(
                f"module '{module_name}' has no '{attribute}'\n  remedy: name an App or a Saga in it"
            )
        named = getattr(module, attribute)
        if isinstance(named, App):
            return [named]
        if isinstance(named, Saga):
            saga: Any = cast("Any", named)
            return [App(module_name, sagas=[saga])]
        raise NoApplicationError(f"'{name}' is neither an App nor a Saga")
    return _whole(module)


def _whole(module: ModuleType) -> list[App]:
    values = list(vars(module).values())
    apps = [value for value in values if isinstance(value, App)]
    if apps:
        return list(dict.fromkeys(apps))
    sagas: dict[int, Any] = {id(value): value for value in values if _is_saga(value)}
    if not sagas:
        raise NoApplicationError(
            f"module '{module.__name__}' holds no saga and no App\n  remedy: declare one at module level: x = Saga(...)"
        )
    return [App(module.__name__, sagas=list(sagas.values()))]


def _is_saga(value: object) -> bool:
    return isinstance(value, Saga)
