"""Taking commands back out of a stream, with a proof that nobody has read them and nobody ever will (rule L5).

That an entry is not pending proves nothing: one that was run is acknowledged first and deleted then. What a group has
handed out, it has handed out in order, so what stands behind the last of it is unread.
"""

from typing import Any

from consumers.envelopes import load_command
from sagas.ports import Command

WITHDRAW = """
-- KEYS[1]: a stream of commands. ARGV: its group, and the id of an entry.
-- The entry's body, if it was deleted unread; 0 if there is no such group.
local function number(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not entry then return false end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local about = {}
  for place = 1, #group, 2 do about[group[place]] = group[place + 1] end
  if about['name'] == ARGV[1] then
    local ms, sequence = number(ARGV[2])
    local last_ms, last_sequence = number(about['last-delivered-id'])
    local unread = ms > last_ms or (ms == last_ms and sequence > last_sequence)
    if unread and redis.call('XDEL', KEYS[1], ARGV[2]) == 1 then return entry[2][2] end
    return false
  end
end
return 0
"""
NO_GROUP = 0


def was_unread(answer: Any, incarnation: str) -> bool:
    """Whether what was deleted is a command of this memory: of another nobody knows who has read it (rule L7)."""
    command = load_command(answer) if isinstance(answer, bytes) else None
    return isinstance(command, Command) and command.incarnation == incarnation
