"""Amends: a process ends well, or is undone in order.

Everything that users import. Importing this loads no driver; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amends.api.bodies import read_json
    from amends.api.idempotency import RequestIds, answer_once
    from amends.application import App, Route
    from amends.backend import Backend, UnknownDefinition
    from amends.client import Client, ClientError, Handle, MovedError, NotCompletedError
    from amends.joining import KeyConflict, NotSupported, start
    from amends.problems import Problem, field_problem
    from amends.settings import SettingsError, read_settings
    from amends.starting import StartRefused, ToStart
    from eventstore.feed import FeedEvent
    from eventstore.projections import Projection
    from sagas.answers import CannotTell, DidNotHappen, Given, Happened
    from sagas.breaker import Breaker
    from sagas.context import Context, Transaction
    from sagas.definition import Saga
    from sagas.durations import days, hours
    from sagas.errors import DefinitionError, InputError, Permanent, Recoverable
    from sagas.resources import resource
    from sagas.retry import Retry

_HOMES = {
    "App": "amends.application",
    "Backend": "amends.backend",
    "Breaker": "sagas.breaker",
    "CannotTell": "sagas.answers",
    "Client": "amends.client",
    "ClientError": "amends.client",
    "Handle": "amends.client",
    "MovedError": "amends.client",
    "NotCompletedError": "amends.client",
    "start": "amends.joining",
    "Context": "sagas.context",
    "DefinitionError": "sagas.errors",
    "DidNotHappen": "sagas.answers",
    "FeedEvent": "eventstore.feed",
    "Given": "sagas.answers",
    "Happened": "sagas.answers",
    "InputError": "sagas.errors",
    "KeyConflict": "amends.joining",
    "NotSupported": "amends.joining",
    "Permanent": "sagas.errors",
    "Problem": "amends.problems",
    "Projection": "eventstore.projections",
    "Recoverable": "sagas.errors",
    "RequestIds": "amends.api.idempotency",
    "Retry": "sagas.retry",
    "Route": "amends.application",
    "Saga": "sagas.definition",
    "SettingsError": "amends.settings",
    "StartRefused": "amends.starting",
    "ToStart": "amends.starting",
    "Transaction": "sagas.context",
    "UnknownDefinition": "amends.backend",
    "answer_once": "amends.api.idempotency",
    "field_problem": "amends.problems",
    "read_json": "amends.api.bodies",
    "read_settings": "amends.settings",
    "days": "sagas.durations",
    "hours": "sagas.durations",
    "resource": "sagas.resources",
}

__all__ = [
    "App",
    "Backend",
    "Breaker",
    "CannotTell",
    "Client",
    "ClientError",
    "Context",
    "DefinitionError",
    "DidNotHappen",
    "FeedEvent",
    "Given",
    "Handle",
    "Happened",
    "InputError",
    "KeyConflict",
    "MovedError",
    "NotCompletedError",
    "NotSupported",
    "Permanent",
    "Problem",
    "Projection",
    "Recoverable",
    "RequestIds",
    "Retry",
    "Route",
    "Saga",
    "SettingsError",
    "StartRefused",
    "ToStart",
    "Transaction",
    "UnknownDefinition",
    "answer_once",
    "days",
    "field_problem",
    "hours",
    "read_json",
    "read_settings",
    "resource",
    "start",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'amends' has no attribute '{name}'")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
