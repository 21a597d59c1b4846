"""Large arguments of commands, which stand beside the events and not in the stream (rule C2)."""

import asyncio
import logging

from sagas.events import Json
from sagas.ports import Command, Store, StoreUnavailable
from sagas.records import replace
from sagas.state import Value

log = logging.getLogger("amends.worker")


async def with_arguments(command: Command, store: Store, retry_seconds: float) -> Command:
    """The command with its large arguments loaded; while the store is away it is asked again."""
    names = list(command.payloads)
    while True:
        try:
            wanted = [(command.saga_id, Value(payload=command.payloads[name])) for name in names]
            found: list[Json] = await store.values(wanted)
        except StoreUnavailable as loss:
            log.warning("waiting for the arguments of %s: %s", command.step_key, loss)
            await asyncio.sleep(retry_seconds)
            continue
        return replace(command, arguments={**command.arguments, **dict(zip(names, found, strict=True))}, payloads={})
