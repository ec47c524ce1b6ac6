#!lua flags=allow-oom
-- prune_offers: forget facts of shared keys from before a time: those taken by a
-- transfer that is forgotten too, and those nobody took while nobody waits.
-- keys: epoch jobs waits offers offered evidence
-- args: 1 cut, Unix seconds, then ids of facts
-- reply: OK, number of facts
local cut, n = tonumber(args(1)), 0
for i = 2, nargs do
  local taker, raw = string.match(call('HGET', K.offered, args(i)) or '', '^([^\n]*)\n(.*)$')
  local f = raw and cjson.decode(raw)
  local held = f and (f.at >= cut or taker ~= '' and call('HEXISTS', K.jobs, taker) == 1
    or #call('ZRANGEBYLEX', K.waits, first(f.key), last(f.key), 'LIMIT', 0, 1) > 0)
  if f and not held then
    call('HDEL', K.offered, args(i))
    call('ZREM', K.offers, f.key .. '\n' .. f.pos .. '\n' .. f.id)
    call('ZREM', K.evidence, fromwhere(f))
    n = n + 1
  end
end
return {'OK', int(n)}
