#!lua flags=no-writes
-- intents: read intents at one moment, whole or without what is long: then the
-- payload of what is signed and all signed bytes stay here.
-- keys: epoch intents txdata txstate attempts raw live
-- args: 1 chain:account, for its undecided intents; or '' and 2 one row
--       3 'short' leaves out what is long
-- reply: OK, (row, intent, data, state, number of attempts, (attempt, bytes)*)*
local wanted = args(1) ~= '' and call('ZRANGEBYLEX', K.live, first(args(1)), last(args(1))) or {args(2)}
local short = args(3) == 'short'
local out = {'OK'}
for _, r in ipairs(wanted) do
  local text = call('HGET', K.intents, r)
  if text then
    local tries = {}
    for hash, json in string.gmatch(call('HGET', K.attempts, r) or '', '(%S+) ([^\n]*)\n') do
      tries[#tries + 1] = json
      tries[#tries + 1] = not short and call('HGET', K.raw, r .. '\n' .. hash) or ''
    end
    local data = not (short and #tries > 0) and call('HGET', K.txdata, r) or ''
    for _, v in ipairs({r, text, data, call('HGET', K.txstate, r) or '', int(#tries / 2)}) do
      out[#out + 1] = v
    end
    for _, v in ipairs(tries) do out[#out + 1] = v end
  end
end
return out
