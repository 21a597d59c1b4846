"""An agent behind an OpenAI-compatible endpoint: structured answers, one repair turn, errors that say what to do.

Asking leaves nothing behind, so whatever goes wrong proves that nothing happened: it is retried, or falls back.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError

from amends import Permanent, Recoverable
from marketplace.agents.answers import Answer, Said, UnreadableError, merged, read_answer

SECONDS_MAX = 50.0
"""For all that one answer takes: every part of the document, repair turns, and questions that are asked anew."""
PART_CHARACTERS_MAX = 60_000
PARTS_AT_ONCE = 4
ANSWER_BYTES_MAX = 1024 * 1024
RETRY_AFTER_SECONDS_MAX = 3600.0
SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
Message = Mapping[str, str]

INSTRUCTIONS = """
You analyse documents of marketplace sellers. Find opportunities for the channel that is named, only such that the
document supports. Answer with one JSON object: {"opportunities": [{"priority": "alta"|"média"|"baixa", "title": str,
"what": str, "reason": str}], "phases": [{"number": int, "name": str, "weeks": str, "tasks": [str]}]}. Each reason
quotes the document. Write in the document's language.
"""
REPAIR = "That was not readable: {why}. Answer again with the JSON object alone."
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "analysis", "schema": Said.model_json_schema()},
}


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice]


class RemoteAgent:
    """Asks a chat completions endpoint. `models` names the model of a channel, where it is not `model`."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, key: str, model: str, models: Mapping[str, str]
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = key
        self._model = model
        self._models = {channel.casefold(): name for channel, name in models.items()}

    async def ask(self, channel: str, text: str) -> str:
        """The agent's answer about a channel; a long document is asked about in parts.

        Raises:
            Recoverable: there was no answer, or the endpoint is busy. Permanent: the endpoint refuses us.
            UnreadableError: the answer about a part of a long document cannot be read.
        """
        parts = list(parts_of(text))
        try:
            async with asyncio.timeout(SECONDS_MAX):
                if len(parts) == 1:
                    return await self._about(channel, text)
                return merged(await self._about_all(channel, parts)).model_dump_json()
        except TimeoutError:
            raise Recoverable(f"the agent gave no answer within {SECONDS_MAX:g} s") from None

    async def _about_all(self, channel: str, parts: Sequence[str]) -> list[Answer]:
        """What is said of each part; the first that goes wrong ends it all."""
        gate = asyncio.Semaphore(PARTS_AT_ONCE)

        async def one(part: str) -> Answer:
            async with gate:
                said = await self._about(channel, part)
            return await asyncio.to_thread(read_answer, said, channel)

        asked = [asyncio.create_task(one(part)) for part in parts]
        try:
            return await asyncio.gather(*asked)
        finally:
            for task in asked:
                task.cancel()

    async def _about(self, channel: str, part: str) -> str:
        """What is said of a part; an answer that cannot be read is asked for once more."""
        asked: list[Message] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": f"Channel: {channel}\n\nDocument:\n{part}"},
        ]
        first = await self._complete(channel, asked)
        try:
            await asyncio.to_thread(read_answer, first, channel)
        except UnreadableError as unreadable:
            why = {"role": "user", "content": REPAIR.format(why=unreadable)}
            return await self._complete(channel, [*asked, {"role": "assistant", "content": first}, why])
        return first

    async def _complete(self, channel: str, messages: Sequence[Message], *, structured: bool = True) -> str:
        model = self._models.get(channel.casefold(), self._model)
        question: dict[str, Any] = {"model": model, "messages": list(messages), "temperature": 0}
        if structured:
            question["response_format"] = SCHEMA
        try:
            async with self._session.post(
                self._url,
                json=question,
                headers={"Authorization": f"Bearer {self._key}"},
            ) as response:
                status, headers = response.status, response.headers
                body = await _whole(response)
        except aiohttp.ClientError as loss:
            raise Recoverable(f"the agent cannot be reached: {loss or type(loss).__name__}") from loss
        if status == 400 and structured and b"response_format" in body:
            return await self._complete(channel, messages, structured=False)  # older servers do not know it
        if status != 200:
            raise _refusal(status, headers)
        try:
            return _Completion.model_validate_json(body).choices[0].message.content
        except (ValidationError, IndexError):
            raise Recoverable("the agent's endpoint answered with no completion") from None


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """All that is answered, in however many pieces it comes."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise Permanent(f"the agent's endpoint answered more than {ANSWER_BYTES_MAX:,} bytes")
    return body


def _refusal(status: int, headers: Mapping[str, str]) -> Recoverable | Permanent:
    """What an error status means for the step."""
    if status in (408, 429) or status >= 500:
        after = retry_after(headers.get("Retry-After", ""), time.time())
        return Recoverable(f"the agent's endpoint answered {status}", retry_after=after)
    if status in (401, 403):
        return Permanent(f"the agent's endpoint answered {status}: check OPENAI_API_KEY")
    return Permanent(f"the agent's endpoint answered {status}: check OPENAI_BASE_URL and the model's name")


def retry_after(text: str, now: float) -> float | None:
    """The seconds that a `Retry-After` says, in numbers or as a date, at most an hour; None: it says nothing."""
    if SECONDS.fullmatch(text.strip()):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def parts_of(text: str) -> Iterator[str]:
    """A text in parts of bounded length, parted between lines where there are any."""
    start = 0
    while len(text) - start > PART_CHARACTERS_MAX:
        end = text.rfind("\n", start, start + PART_CHARACTERS_MAX) + 1 or start + PART_CHARACTERS_MAX
        yield text[start:end]
        start = end
    yield text[start:]
