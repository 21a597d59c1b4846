"""Applications: sagas with what belongs to them, found by the names in `AMENDS_SAGAS` (design section 9)."""

import importlib
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from sagas.definition import Saga
from sagas.errors import DefinitionError

if TYPE_CHECKING:
    from aiohttp import web
    from pydantic import BaseModel

    from amends.backend import Backend
    from eventstore.projections import Projection

    RouteHandler = Callable[[web.Request, Backend], Awaitable[web.StreamResponse]]

Role = Literal["viewer", "producer", "operator"]
BODY_BYTES_MAX = 1024 * 1024
CAUSE_MAX = 300


@dataclass(frozen=True)
class Route:
    """An endpoint of an application. `role` is the least that the caller's key must have.

    `query` names the parameters that it takes, each with its JSON schema: any other is refused. `body` is the schema of
    what it reads, of the type `body_type`; `answers` are its statuses of success, each with the schema of what is
    answered. `GET /openapi.json` shows them.
    """

    method: str
    path: str
    handler: "RouteHandler"
    role: Role = "producer"
    body_bytes_max: int = BODY_BYTES_MAX
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    body: Mapping[str, Any] | None = None
    body_type: str = "application/json"
    answers: Mapping[int, Mapping[str, Any]] = field(default_factory=dict[int, Mapping[str, Any]])


class App:
    """Sagas with their HTTP routes, the migrations of their tables (a folder of `NNNN_name.sql`), and projections.

    `settings` is the model of what the application reads from the environment with `read_settings`: no process starts
    while a value is malformed.
    """

    def __init__(
        self,
        name: str,
        *,
        sagas: Sequence[Saga[Any, Any]],
        routes: Sequence[Route] = (),
        migrations: Path | None = None,
        projections: Sequence["Projection"] = (),
        settings: "type[BaseModel] | None" = None,
    ) -> None:
        self.name = name
        self.sagas = tuple(sagas)
        self.routes = tuple(routes)
        self.migrations = migrations
        self.projections = tuple(projections)
        self.settings = settings


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
    known: dict[str, Saga[Any, Any]] = {}
    for app in dict.fromkeys(app for name in names for app in _load(name)):
        fresh: list[Saga[Any, Any]] = []
        for saga in app.sagas:
            if not _is_known(saga, known):
                known[saga.name] = saga
                fresh.append(saga)
        if fresh or app.routes or app.migrations is not None:
            found.append(copy(app))
            found[-1].sagas = tuple(fresh)
    return found


def _is_known(saga: Saga[Any, Any], known: dict[str, Saga[Any, Any]]) -> bool:
    """Whether it was found already: a module that imports another's saga names it again.

    Raises:
        DefinitionError: another saga of its name was found.
    """
    other = known.get(saga.name, saga)
    if other is not saga:
        raise DefinitionError(
            f"two sagas are called '{saga.name}': at {other.place} and at {saga.place}\n"
            "  remedy: rename one, or load the module under one name only"
        )
    return saga.name in known


def _load(name: str) -> list[App]:
    module_name, _, attribute = name.partition(":")
    module = _module(module_name)
    if not attribute:
        return _whole(module)
    if not hasattr(module, attribute):
        raise NoApplicationError(f"module '{module_name}' has no '{attribute}'\n  remedy: name an App or a Saga in it")
    named = getattr(module, attribute)
    if isinstance(named, App):
        return [named]
    if isinstance(named, Saga):
        saga: Any = cast("Any", named)
        return [App(module_name, sagas=[saga])]
    raise NoApplicationError(f"'{name}' is neither an App nor a Saga\n  remedy: name an App or a Saga of the module")


def _module(name: str) -> ModuleType:
    remedy = "name one that can be imported from here, as module or module:attribute"
    if not all(part.isidentifier() for part in name.split(".")):
        asked = name.removesuffix(".py").strip("./").replace("/", ".")
        meant = f", such as {asked}" if asked and asked != name else ""
        raise NoApplicationError(f"'{name}' is no name of a module\n  remedy: {remedy}{meant}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{name}.".startswith(f"{missing.name}."):
            raise _broken(name, missing) from missing
        raise NoApplicationError(f"there is no module '{name}'\n  remedy: {remedy}") from missing
    except DefinitionError:
        raise
    except (Exception, SystemExit) as broken:
        raise _broken(name, broken) from broken


def _broken(name: str, error: BaseException) -> DefinitionError:
    """A module that cannot be imported: where it stopped, and why."""
    if isinstance(error, SyntaxError):
        shown, why = f"{error.filename}:{error.lineno}", error.msg
    else:
        ours = ("<frozen ", importlib.__file__, __file__)
        frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())]
        last = next(iter([*reversed(own), *frames]), None)
        shown, why = f"{last.filename}:{last.lineno}" if last else name, str(error)
    return DefinitionError(
        f"module '{name}' cannot be imported: {shown}: {type(error).__name__}: {' '.join(why.split())[:CAUSE_MAX]}\n"
        "  remedy: correct it; importing a module of sagas must run nothing else"
    )


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
