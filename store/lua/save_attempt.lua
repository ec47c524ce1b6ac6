#!lua flags=allow-oom
-- save_attempt: keep signed bytes before they are sent. The fence is not asked
-- for: the nonce is this intent's whoever holds the lane now.
-- keys: epoch journal intents txstate attempts raw
-- args: 1 row  2 hash  3 attempt as JSON  4 signed bytes
-- reply: OK | UNKNOWN | DECIDED, state
local r, hash = args(1), args(2)
local state = call('HGET', K.txstate, r)
if not state or call('HEXISTS', K.intents, r) == 0 then return {'UNKNOWN'} end
local now_is, body = string.match(state, '^(%a+)\n(.*)$')
if decided[now_is] then return {'DECIDED', now_is} end
keep(r, hash, args(3), args(4))
if now_is == 'reserved' then
  call('HSET', K.txstate, r, 'signed\n' .. body)
end
journal('tx', r, 'to', 'signed', 'hash', hash)
return {'OK'}
