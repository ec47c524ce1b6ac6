#!lua flags=no-writes
-- lanes: what every lane that has jobs or is paused looks like.
-- keys: epoch jobs queue lanes ready leased paused forks
-- args: none
-- reply: OK, (lane, mode, depth, head's job, ready ms or '', worker, paused, forked chain)*
local names, out = {}, {'OK'}
for _, lane in ipairs(call('HKEYS', K.lanes)) do names[lane] = true end
for _, lane in ipairs(call('HKEYS', K.paused)) do names[lane] = true end
for lane in pairs(names) do
  local head = call('ZRANGEBYLEX', K.queue, first(lane), last(lane), 'LIMIT', 0, 1)[1]
  local l = call('HGET', K.leased, lane)
  local item = {
    lane, string.sub(call('HGET', K.lanes, lane) or 'l', 1, 1), int(call('ZLEXCOUNT', K.queue, first(lane), last(lane))),
    head and call('HGET', K.jobs, rowid(head)) or '', call('ZSCORE', K.ready, lane) or '',
    l and cjson.decode(l).w or '', call('HGET', K.paused, lane) or '', stopped(call('HGET', K.lanes, lane) or '') or '',
  }
  for _, v in ipairs(item) do out[#out + 1] = v end
end
return out
