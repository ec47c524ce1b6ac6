#!lua flags=allow-oom
-- update_intent: write what became of an intent. Once decided it stays so; its
-- key and members are free, its bytes can change the chain no more and go, its
-- hashes stay. That a nonce was used by somebody else is said of what no file
-- knows, so not before all files are back.
-- keys: epoch journal intents txdata txstate attempts raw live txkeys riding recovering
-- args: 1 row  2 state  3 state and outcome as JSON
-- reply: OK | UNKNOWN | DECIDED, state | BUSY, why
local r, to = args(1), args(2)
local state, text = call('HGET', K.txstate, r), call('HGET', K.intents, r)
if not state or not text then return {'UNKNOWN'} end
local from = string.match(state, '^%a+')
if decided[from] then
  if from == to then return {'OK'} end
  return {'DECIDED', from}
end
if to == 'foreign' and recovering() then return {'BUSY', forgetful} end
-- A manager that read the intent before its first attempt was stored must not
-- make it look unsigned.
if to == 'reserved' and from ~= 'reserved' then to = from end

call('HSET', K.txstate, r, to .. '\n' .. args(3))
if decided[to] then settle_tx(r, cjson.decode(text)) end
if to ~= from then journal('tx', r, 'from', from, 'to', to) end
return {'OK'}
