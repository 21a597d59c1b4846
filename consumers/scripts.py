"""Scripts that the server runs in one step: groups are made, and commands are taken back unread (rules L5, L7)."""

from typing import Any

from consumers.envelopes import load_command
from sagas.ports import Command

MAKE_GROUP = """
-- KEYS[1]: a stream of commands, KEYS[2]: says that it had its group. ARGV[1]: the group.
local before = redis.call('EXISTS', KEYS[2])
redis.call('SET', KEYS[2], '1')
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], before == 1 and '$' or '0', 'MKSTREAM')
if type(made) == 'table' and made.err then return 0 end
if before == 1 then redis.call('XTRIM', KEYS[1], 'MAXLEN', 0) end
return 1 + before
"""
"""Whose group is gone may have handed out any entry: handed out again it would run twice. So they all go with it, and
the check finds them lost. In a new memory nothing was handed out yet."""
PUT_BACK = """
-- KEYS[1]: the stream of outcomes. ARGV: its group, the id of an entry, and what it holds.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[2])
    redis.call('XADD', KEYS[1], '*', 'b', ARGV[3])
end
"""
"""Who was to apply an outcome cannot: it goes to the end, unless somebody else has it or is done with it."""
_IS_UNREAD = """
local function number(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end
local last
for _, group in ipairs(redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[1]) or {}) do
  local about = {}
  for place = 1, #group, 2 do about[group[place]] = group[place + 1] end
  if about['name'] == ARGV[1] then last = about['last-delivered-id'] end
end
local function is_unread(id)
  local ms, sequence = number(id)
  local last_ms, last_sequence = number(last)
  return ms > last_ms or (ms == last_ms and sequence > last_sequence)
end
"""
DONE = f"""
-- KEYS[1]: a stream. ARGV: its group, and the ids of entries.
-- For each of them whether somebody had it in hand: 1 or 0.
local held, over, left = {{}}, {{}}, {{}}
for place = 2, #ARGV do
  held[place - 1] = redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  table.insert(held[place - 1] == 1 and over or left, ARGV[place])
end
if #left > 0 then
  {_IS_UNREAD}
  for _, id in ipairs(left) do
    if last and not is_unread(id) then over[#over + 1] = id end
  end
end
for place = 1, #over, 1000 do
  redis.call('XDEL', KEYS[1], unpack(over, place, math.min(place + 999, #over)))
end
return held
"""
"""What is acknowledged alone would be given to nobody, and look unread for ever. What nobody was given yet stays: a
server that has forgotten everything gives an id a second time. It is no transaction: Redis 6.2 takes none while its
memory is full, and this makes room."""
WITHDRAW = f"""
-- KEYS[1]: a stream of commands. ARGV: its group, and the id of an entry.
-- The entry's body, if it was deleted unread; 0 if there is no such group.
{_IS_UNREAD}
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not entry then return false end
if not last then return 0 end
if is_unread(ARGV[2]) and redis.call('XDEL', KEYS[1], ARGV[2]) == 1 then return entry[2][2] end
return false
"""
"""That an entry is not pending proves nothing: one that was run is acknowledged first and deleted then. What a group
has handed out, it has handed out in order: what stands behind the last of it is unread."""
REVIVED_MAX = 32
REVIVE = f"""
-- KEYS[1]: the stream of outcomes. ARGV[1]: its group.
-- How many of the first entries were handed out, are held by nobody, and stand at the end now.
{_IS_UNREAD}
if not last then return 0 end
local found = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', {REVIVED_MAX})) do
  if is_unread(entry[1]) then break end
  if #redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1) == 0 then
    redis.call('XDEL', KEYS[1], entry[1])
    redis.call('XADD', KEYS[1], '*', entry[2][1], entry[2][2])
    found = found + 1
  end
end
return found
"""
"""As those whose consumer somebody has deleted by hand. What has begun to write may go on in a memory that is full. Of
foreign entries the first field is kept: ours have one."""
NO_GROUP = 0


def was_unread(answer: Any, incarnation: str) -> bool:
    """Whether what was deleted is a command of this memory: of another nobody knows who has read it (rule L7)."""
    command = load_command(answer) if isinstance(answer, bytes) else None
    return isinstance(command, Command) and command.incarnation == incarnation
