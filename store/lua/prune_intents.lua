#!lua flags=allow-oom
-- prune_intents: forget decided intents that were reserved before a time, but
-- never the highest nonce of an account: the next one is derived from it.
-- Facts go by the time of their block, once nobody is bound to their key.
-- keys: epoch facts bind intents txstate attempts nonces evidence
-- args: 1 cut, Unix seconds  2 number of intents, rows of them; keys of facts
-- reply: OK, number of rows
local cut, n = tonumber(args(1)), 0
local nrows = tonumber(args(2))
for i = 3, 2 + nrows do
  local r = args(i)
  local text, state = call('HGET', K.intents, r), call('HGET', K.txstate, r)
  local account = string.match(r, '^[^\n]*')
  local top = call('ZREVRANGEBYLEX', K.nonces, last(account), first(account), 'LIMIT', 0, 1)[1]
  if text and state and top and r ~= top and decided[string.match(state, '^%a+')]
    and tonumber(cjson.decode(text).created) < cut then
    for _, k in ipairs({K.intents, K.txstate, K.attempts}) do call('HDEL', k, r) end
    call('ZREM', K.nonces, r)
    n = n + 1
  end
end
for i = 3 + nrows, nargs do
  local list = call('HGET', K.facts, args(i))
  local old = list and #call('ZRANGEBYLEX', K.bind, first(args(i)), last(args(i)), 'LIMIT', 0, 1) == 0
  local rows = {}
  for _, entry in ipairs(old and cjson.decode(list) or {}) do
    local f = cjson.decode(string.sub(entry, 17))
    if f.at >= cut then old = false end
    rows[#rows + 1] = fromwhere(f)
  end
  if old then
    n = n + call('HDEL', K.facts, args(i))
    for _, r in ipairs(rows) do call('ZREM', K.evidence, r) end
  end
end
return {'OK', int(n)}
