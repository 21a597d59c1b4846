"""Which resources a worker can make: types and their factories (def_R5)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from sagas.errors import DefinitionError

T = TypeVar("T")
Factory = Callable[[], AbstractAsyncContextManager[Any]]

_factories: dict[type, Factory] = {}


def resource(kind: type[T], factory: Callable[[], AbstractAsyncContextManager[T]]) -> None:
    """Say how a worker makes a resource: `factory` is opened once for each worker process. A later call replaces it.

    Raises:
        DefinitionError: another type of the same name is registered; sagas know resources by name.
    """
    for other in _factories:
        if other is not kind and other.__qualname__ == kind.__qualname__:
            raise DefinitionError(
                f"two resource types are called {kind.__qualname__}: in {other.__module__} and in {kind.__module__}\n"
                "  remedy: rename one, or load the module under one name only"
            )
    _factories[kind] = factory


def factories() -> Mapping[type, Factory]:
    """All registered types with their factories."""
    return dict(_factories)


def registered(kind: object) -> bool:
    """Whether a factory is known for this type."""
    return isinstance(kind, type) and kind in _factories


def forget(kind: type) -> None:
    """Take a registration back (for tests). A type that is not registered is left alone."""
    _factories.pop(kind, None)
