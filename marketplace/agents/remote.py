"""An agent behind an OpenAI-compatible endpoint: structured answers, one repair turn, errors that say what to do.

Asking leaves nothing behind, so whatever goes wrong proves that nothing happened: it is retried, or falls back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError

from amends import Permanent, Recoverable
from marketplace.agents.answers import Answer, UnreadableError, read_answer

SECONDS_MAX = 50.0
TEXT_CHARACTERS_MAX = 60_000
ANSWER_BYTES_MAX = 1024 * 1024
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
    "json_schema": {"name": "analysis", "schema": Answer.model_json_schema()},
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
        """The agent's answer about a channel; one that cannot be read is asked for once more.

        Raises:
            Recoverable: there was no answer, or the endpoint is busy. Permanent: the endpoint refuses us.
        """
        document = text[:TEXT_CHARACTERS_MAX]
        asked: list[Message] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": f"Channel: {channel}\n\nDocument:\n{document}"},
        ]
        first = await self._complete(channel, asked)
        try:
            read_answer(first, channel)
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
                timeout=aiohttp.ClientTimeout(total=SECONDS_MAX),
            ) as response:
                status, headers = response.status, response.headers
                body = await _whole(response)
        except TimeoutError:
            raise Recoverable(f"the agent gave no answer within {SECONDS_MAX:g} s") from None
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
        text = headers.get("Retry-After", "")
        seconds = float(text) if text.replace(".", "", 1).isdigit() else None
        return Recoverable(f"the agent's endpoint answered {status}", retry_after=seconds)
    if status in (401, 403):
        return Permanent(f"the agent's endpoint answered {status}: check OPENAI_API_KEY")
    return Permanent(f"the agent's endpoint answered {status}: check OPENAI_BASE_URL and the model's name")
