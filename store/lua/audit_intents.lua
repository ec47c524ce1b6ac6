#!lua flags=allow-oom
-- audit_intents: every intent has its nonce, an undecided one is live and
-- holds its key and its members; nobody rides in an intent that is not.
-- keys: epoch journal intents txstate nonces live txkeys riding
-- args: rows of intents
-- reply: OK, repairs
local repairs = 0
for i = 1, nargs do
  local r = args(i)
  local text, state = call('HGET', K.intents, r), call('HGET', K.txstate, r)
  if text then
    repairs = repairs + call('ZADD', K.nonces, 0, r)
    local it = cjson.decode(text)
    if not state then
      -- What became of it is unknown: it counts as undecided until the
      -- transaction manager has looked.
      state = 'reserved\n{"state":"reserved"}'
      call('HSET', K.txstate, r, state)
      repairs = repairs + 1
    end
    if not decided[string.match(state, '^%a+')] then
      repairs = repairs + call('ZADD', K.live, 0, r)
      repairs = repairs + call('HSETNX', K.txkeys, txkey(r, it.key), r)
      for _, id in ipairs(it.members) do repairs = repairs + call('HSETNX', K.riding, id, r .. '\n' .. it.key) end
    else
      repairs = repairs + call('ZREM', K.live, r)
      for _, id in ipairs(it.members) do
        if call('HGET', K.riding, id) == r .. '\n' .. it.key then repairs = repairs + call('HDEL', K.riding, id) end
      end
    end
  end
end
if repairs > 0 then journal('repaired', 'intents', 'n', int(repairs)) end
return {'OK', int(repairs)}
