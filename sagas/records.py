"""Records: values that nobody changes. The type checkers see to that, so making one costs a third (decision 0024)."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

R = TypeVar("R")


@dataclass_transform(frozen_default=True)
def record(kind: type[R]) -> type[R]:
    """A dataclass with slots whose fields the type checkers hold to be frozen."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def named_record(kind: type[R]) -> type[R]:
    """A record whose fields are given by name alone."""
    return dataclass(slots=True, unsafe_hash=True, kw_only=True)(kind)
