"""A big saga does not hold the others: a hundred of its items are under way at once, whatever waits behind them."""

from pathlib import Path

from amends import Client
from bench.sagas import Items, Payload, branches, forward
from tests.acceptance.running import running

ROOT = Path(__file__).parent.parent.parent
ITEMS = 3_000


async def test_small_sagas_end_while_a_big_one_that_began_before_them_runs() -> None:
    async with running(sagas="bench.sagas", environment={"PYTHONPATH": str(ROOT)}) as made:
        async with Client(made.runtime["url"], key=made.runtime["api_key"]) as client:
            big = await client.start(branches, Items(items=[Payload(text="x")] * ITEMS))
            small = [await client.start(forward, Payload(text=f"{number}")) for number in range(5)]
            for one in small:
                await one.result(timeout=20)
            assert await big.status() == "active"
            await big.result(timeout=60)
        made.check_invariants()
