"""The server of streams, watched: what is acknowledged, what was said, and what lies unread."""

from collections import deque
from collections.abc import Callable
from typing import Any

from amends.testing.simulator.checks import Checks
from amends.testing.simulator.outside import Key
from consumers.envelopes import load_command, load_word
from consumers.keys import OUTCOMES
from consumers.memory_server import MemoryServer
from consumers.memory_streams import Memory
from consumers.scripts import DONE
from consumers.wire import Command as Asked
from sagas.inputs import Outcome
from sagas.ports import Command

SAID_MAX = 30
UNREAD_MS = 1000


class WatchedServer(MemoryServer):
    """A server of streams that tells of every outcome that is deleted."""

    def __init__(self, clock: Callable[[], float], checks: Checks, *, oldest: bool = False) -> None:
        super().__init__(clock, oldest=oldest)
        self.said: deque[bytes] = deque(maxlen=SAID_MAX)
        """The last outcomes that stood in their stream: any may be delivered once more."""
        self.when_added: list[Callable[[], object]] = []
        """Called when the next command stands in its stream and nobody has been given it: what a replica has then."""
        self._memory_ms = 0.0
        self._checks = checks
        checks.unread = self._stands

    def _stands(self, key: Key, attempt: int, taking_seconds: float) -> bool:
        """Whether the first word about this attempt that stands here says how it ended, and has for a while.

        Longer than `taking_seconds`: what came while the judgement was being committed, nobody could read before. Nor
        what another memory brought along, where it had not been deleted yet.
        Who was handed a command of another memory says that it is lost (rule L7): such a word is no judgement.
        """
        now_ms = (self._clock() - taking_seconds) * 1000
        for name, fields in super().execute(("XRANGE", OUTCOMES, "-", "+")):
            word = load_word(fields[1]) if fields[0] == b"b" else None
            if not isinstance(word, Outcome) or not (word.kind in ("succeeded", "failed") or word.cause == "lost"):
                continue
            if (word.saga_id, word.step, word.item) == key and word.attempt == attempt:
                stands_ms = now_ms - max(int(name.partition(b"-")[0]), self._memory_ms)
                return word.cause != "lost" and stands_ms > UNREAD_MS
        return False

    def restart(self, memory: Memory | None = None, *, other: bool = False) -> None:
        """Come up again, with another memory maybe: what stands in that stands from now on."""
        super().restart(memory, other=other)
        if memory is not None:
            self._memory_ms = self._clock() * 1000

    def _serve(self, key: str) -> None:
        if key != OUTCOMES:
            calls, self.when_added = self.when_added, []
            for call in calls:
                call()
        super()._serve(key)

    def _done_with(self, command: Asked) -> Any:
        stood = {name: self._body(name) for name in command[5:]}
        answer = super().execute(command)
        for name, body in stood.items():
            if body is not None and self._body(name) is None:
                self._checks.acknowledges(body)
        return answer

    def _body(self, name: str) -> bytes | None:
        """The outcome in this entry, if it stands there."""
        for _, (field, body) in super().execute(("XRANGE", OUTCOMES, name, name)):
            return body if field == b"b" else None
        return None

    def execute(self, command: Asked) -> Any:
        """The answer to a command."""
        if command[0] == "EVAL" and command[1] == DONE and command[3] == OUTCOMES:
            return self._done_with(command)
        if command[0] == "XADD" and command[3] == "b" and not self.refusing:
            if command[1] == OUTCOMES:
                self.said.append(command[4])
            elif isinstance(sent := load_command(command[4]), Command):
                self._checks.sends(sent)
        return super().execute(command)
