"""Starts handlers of Restate over HTTP, and waits for their answers."""

import argparse

import aiohttp
import orjson

from amends import loops
from bench import sagas
from bench.programs.closed_loop import ClosedLoop, text


async def main() -> None:
    """Measure, as the harness says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=sagas.EVERYWHERE, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--warm", type=float, required=True)
    parser.add_argument("--payload", type=int, required=True)
    parser.add_argument("--admin", required=True)
    parser.add_argument("--ingress", required=True)
    parser.add_argument("--service", required=True)
    asked = parser.parse_args()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(f"{asked.admin}/deployments", json={"uri": asked.service}) as answer:
            if answer.status >= 300:
                raise SystemExit(f"the service is not taken: {await answer.text()}")
        forward = asked.workload == sagas.FORWARD
        place = f"{asked.ingress}/Bench/{asked.workload}"
        headers = {"Content-Type": "application/json"}

        async def once() -> tuple[float | None, bool]:
            given = {"text": text(asked.payload)}
            async with session.post(place, data=orjson.dumps(given), headers=headers) as answer:
                told = orjson.loads(await answer.read())
                return None, answer.status == 200 and told == (given if forward else "compensated")

        await ClosedLoop(asked.window, asked.warm).run(once)


if __name__ == "__main__":
    loops.run(main())
