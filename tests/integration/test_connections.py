"""The connection to Redis: answers find their questions, and a loss is a loss for everybody who waits."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import pytest

from consumers.connections import Connection, Disconnected, ResponseError
from tests.servers import raw_redis


class Made:
    """A connection, and the times that it was made: whether there was one before."""

    def __init__(self, url: str, seconds: float = 5.0) -> None:
        self.times: list[bool] = []
        self.connection = Connection(url, seconds, self.times.append)
        self.ask = self.connection.ask


@pytest.fixture
async def made(redis_url: str) -> AsyncGenerator[Made]:
    made = Made(redis_url)
    yield made
    await made.connection.close()


async def test_questions_asked_at_once_get_their_own_answers(made: Made) -> None:
    batches = [[("ECHO", f"{batch}/{number}") for number in range(50)] for batch in range(20)]
    answers = await asyncio.gather(*(made.ask(batch) for batch in batches))
    assert answers == [[word.encode() for _, word in batch] for batch in batches]
    assert made.times == [False]


async def test_a_refusal_is_an_answer_among_others(made: Made) -> None:
    first, refused, last = await made.ask([("ECHO", "a"), ("XADD", "stream"), ("ECHO", "b")])
    assert (first, last) == (b"a", b"b")
    assert isinstance(refused, ResponseError)
    assert str(refused).startswith("wrong number of arguments")


async def test_who_waits_at_a_stream_is_given_all_entries_that_come_together(made: Made, redis_url: str) -> None:
    await made.ask([("XGROUP", "CREATE", "stream", "readers", "$", "MKSTREAM")])
    other = Made(redis_url)
    read = ("XREADGROUP", "GROUP", "readers", "one", "COUNT", 64, "BLOCK", 5000, "STREAMS", "stream", ">")
    waiting = asyncio.create_task(other.ask([read]))
    while b"blocked_clients:1" not in (await made.ask([("INFO", "clients")]))[0]:
        pass
    *names, length = await made.ask(
        [*(("XADD", "stream", "*", "b", str(number)) for number in range(40)), ("XLEN", "stream")]
    )
    (((_, given),),) = await waiting
    await other.connection.close()
    assert ([name for name, _ in given], length) == (names, 40)


async def test_entries_that_are_refused_are_refused_together(made: Made) -> None:
    await made.ask([("SET", "text", "of another kind")])
    entries = [("XADD", "stream", "*", "b", "1"), ("XADD", "stream", "odd"), ("XADD", "stream", "*", "b", "2")]
    first, second, third, pong = await made.ask([*entries, ("ECHO", "pong")])
    assert {str(one).partition(" ")[0] for one in (first, second, third)} == {"wrong"}
    assert (pong, (await made.ask([("XLEN", "stream")]))[0]) == (b"pong", 0)
    answers = await made.ask([("XADD", "text", "*", "b", "1"), ("XADD", "text", "*", "b", "2"), ("ECHO", "pong")])
    assert [str(one)[:9] for one in answers[:2]] == ["WRONGTYPE", "WRONGTYPE"], "what fails when it is done"
    assert answers[2] == b"pong"


async def test_who_waits_at_several_streams_is_given_what_came_first(made: Made, redis_url: str) -> None:
    for key in ("high", "low"):
        await made.ask([("XGROUP", "CREATE", key, "readers", "$", "MKSTREAM")])
    other = Made(redis_url)
    read = ("XREADGROUP", "GROUP", "readers", "one", "COUNT", 1, "BLOCK", 5000, "STREAMS", "high", "low", ">", ">")
    waiting = asyncio.create_task(other.ask([read]))
    while b"blocked_clients:1" not in (await made.ask([("INFO", "clients")]))[0]:
        pass
    await made.ask([("XADD", key, "*", "b", "1") for key in ("high", "high", "low")])
    (((key, given),),) = await waiting
    await other.connection.close()
    assert (key, len(given)) == (b"high", 1)


async def test_a_large_answer_comes_whole(made: Made) -> None:
    body = bytes(range(256)) * 4096
    assert await made.ask([("SET", "large", body), ("GET", "large"), ("ECHO", "after")]) == [b"OK", body, b"after"]


async def test_nothing_is_asked_by_an_empty_batch(made: Made) -> None:
    assert await made.ask([]) == []
    assert made.times == []


async def test_who_stops_waiting_takes_no_answer_of_others(made: Made) -> None:
    await made.ask([("PING",)])
    waiting = asyncio.create_task(made.ask([("BLPOP", "nothing", "0.2")]))
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    assert await made.ask([("ECHO", "mine")]) == [b"mine"]
    assert made.times == [False]


async def test_a_lost_connection_fails_all_that_was_asked_and_is_made_again(made: Made, redis_url: str) -> None:
    (number,) = await made.ask([("CLIENT", "ID")])
    waiting = [asyncio.create_task(made.ask([("BLPOP", "nothing", "0")])) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0)
    client = raw_redis(redis_url)
    await client.execute_command("CLIENT", "KILL", "ID", number)
    await client.aclose()
    for lost in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(lost, Disconnected)
    assert await made.ask([("ECHO", "again")]) == [b"again"]
    assert made.times == [False, True]


async def test_what_takes_too_long_ends_the_connection(redis_url: str) -> None:
    made = Made(redis_url, seconds=0.05)
    with pytest.raises(TimeoutError):
        await made.ask([("BLPOP", "nothing", "0")])
    assert await made.ask([("ECHO", "again")]) == [b"again"]
    assert made.times == [False, True]
    await made.connection.close()


async def test_no_server_is_an_error_of_the_connection() -> None:
    made = Made("redis://127.0.0.1:1")
    with pytest.raises(Disconnected):
        await made.ask([("PING",)])
    assert made.times == []


async def test_what_cannot_be_sent_takes_nobodys_answer(made: Made) -> None:
    for unfit in (None, "\ud800"):
        with pytest.raises((TypeError, UnicodeError)):
            await made.ask([("ECHO", unfit)])
    answers = await asyncio.gather(*(made.ask([("ECHO", word)]) for word in ("1", "2", "3")))
    assert answers == [[b"1"], [b"2"], [b"3"]]
    assert made.times == [False]


@contextmanager
def mute() -> Generator[tuple[str, socket.socket]]:
    """A server that never answers, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield f"redis://127.0.0.1:{server.getsockname()[1]}", server


async def test_all_who_wait_for_a_connection_fail_with_its_attempt() -> None:
    with mute() as (url, server):
        made = Made(url, seconds=0.3)
        lost = await asyncio.gather(*(made.ask([("PING",)]) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(one, OSError) for one in lost)
        await made.connection.close()
        server.accept()[0].close()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_a_connection_that_is_closed_while_it_is_made_is_not_left_open() -> None:
    with mute() as (url, server):
        made = Made(url)
        asking = asyncio.create_task(made.ask([("PING",)]))
        accepted, _ = await asyncio.to_thread(server.accept)
        await made.connection.close()
        accepted.close()
        with pytest.raises(Disconnected):
            await asking
        with pytest.raises(Disconnected):
            await made.ask([("PING",)])
        assert made.times == []


async def test_who_opens_it_is_connected(made: Made) -> None:
    await made.connection.open()
    await made.connection.open()
    assert made.times == [False]


async def test_where_no_transaction_may_be_begun_each_entry_is_answered_alone(made: Made, redis_url: str) -> None:
    """rule_C9: a refusal proves that nothing arrived."""
    await made.ask([("ACL", "SETUSER", "narrow", "on", "nopass", "~*", "+@all", "-multi", "-exec")])
    narrow = Made(redis_url.replace("://", "://narrow:any@"))
    try:
        entries = [("XADD", "stream", "*", "b", "1"), ("XADD", "stream", "odd"), ("XADD", "stream", "*", "b", "2")]
        first, odd, last, length = await narrow.ask([*entries, ("XLEN", "stream")])
        assert [type(first), type(odd), type(last), length] == [bytes, ResponseError, bytes, 2]
    finally:
        await narrow.connection.close()
        await made.ask([("ACL", "DELUSER", "narrow")])
