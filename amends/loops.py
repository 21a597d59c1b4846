"""The event loop of a service: uvloop where it is installed (the extra `fast`), else asyncio's own."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

THRESHOLDS = (10_000, 20, 50)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end, as `asyncio.run` does.

    What is loaded by now stays: the garbage collector need not look at it again. It looks at the rest less often than
    is usual, since batches make thousands of values at once and leave none of them in a circle.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(work)


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
