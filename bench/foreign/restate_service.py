"""Restate: a service whose handlers take four steps. Served by the interpreter that has the packages."""

import restate

bench = restate.Service("Bench")
Value = dict[str, str]


async def nothing(value: Value) -> Value:
    """Do nothing."""
    return value


async def fail(value: Value) -> Value:
    """Fail for good."""
    raise restate.TerminalError("there is none left")


async def give_back(value: Value) -> None:
    """Do nothing."""


async def run(context: restate.Context, name: str, action: object, value: Value) -> Value:
    """One step."""
    return await context.run_typed(name, action, restate.RunOptions(), value)


@bench.handler()
async def forward(context: restate.Context, request: Value) -> Value:
    """Four steps."""
    first = await run(context, "first", nothing, request)
    second = await run(context, "second", nothing, first)
    third = await run(context, "third", nothing, second)
    return await run(context, "fourth", nothing, third)


@bench.handler()
async def compensating(context: restate.Context, request: Value) -> str:
    """Two steps; the third fails, and both are undone."""
    first = await run(context, "first", nothing, request)
    second = await run(context, "second", nothing, first)
    try:
        await run(context, "third", fail, second)
    except restate.TerminalError:
        await run(context, "undo_second", give_back, second)
        await run(context, "undo_first", give_back, first)
    return "compensated"


app = restate.app(services=[bench])
