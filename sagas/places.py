"""Where something stands in the user's files, for messages: `file.py:12 name`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS = frozenset({"sagas", "amends"})


def place_of(function: Callable[..., Any]) -> str:
    """`file.py:12 name` of a function; of anything else, where it is declared and its name."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"{place_of_caller()} {getattr(function, '__name__', type(function).__name__)}"
    return f"{Path(code.co_filename).name}:{code.co_firstlineno} {function.__name__}"


def place_of_caller() -> str:
    """`file.py:12`, the line outside of this package that is being run."""
    frame = inspect.currentframe()
    assert frame is not None, "CPython has frames"
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in OURS:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
