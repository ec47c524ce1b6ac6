#!lua flags=allow-oom
-- replay: put an intent from an instance's own file back if Redis lost it, or
-- the attempts of it that Redis lost. What nobody has signed is in no file: it
-- fills a hole, and there is no telling what is a hole before all files are back.
-- keys: epoch journal intents txdata txstate attempts raw nonces live txkeys riding recovering
-- args: 1 row  2 intent as JSON  3 call data  4 state  5 state as JSON
--       then per attempt: hash, JSON, signed bytes
-- reply: OK | CONFLICT, key | BUSY, why
if nargs < 6 and recovering() then return {'BUSY', forgetful} end
local r = args(1)
local it = cjson.decode(args(2))
local text = call('HGET', K.intents, r)
if text then
  local mine = cjson.decode(text)
  if mine.key ~= it.key or mine.print ~= it.print then return {'CONFLICT', mine.key} end
else
  call('HSET', K.intents, r, args(2))
  call('ZADD', K.nonces, 0, r)
end
local state = call('HGET', K.txstate, r)
if not state then
  state = args(4) .. '\n' .. args(5)
  call('HSET', K.txstate, r, state)
  journal('tx', r, 'to', args(4), 'key', it.key, 'by', 'replay')
end
if decided[string.match(state, '^%a+')] then
  -- Only the hashes are of use now.
  for at = 6, nargs, 3 do keep(r, args(at), args(at + 1)) end
  return {'OK'}
end

call('HSETNX', K.txdata, r, args(3))
call('ZADD', K.live, 0, r)
call('HSETNX', K.txkeys, txkey(r, it.key), r)
for _, id in ipairs(it.members) do call('HSETNX', K.riding, id, r .. '\n' .. it.key) end
for at = 6, nargs, 3 do keep(r, args(at), args(at + 1), args(at + 2)) end
if nargs >= 6 and string.match(state, '^%a+') == 'reserved' then
  call('HSET', K.txstate, r, 'signed\n' .. string.match(state, '\n(.*)$'))
end
return {'OK'}
