#!lua flags=allow-oom
-- claim: lease the lane that has been ready longest to a worker, with the jobs
-- of one look: one route, one step. A strict lane gives the due run at its
-- head, in order, and four times as many: what it has sent and is not decided
-- yet stands at its head. A loose one gives whatever is due.
-- A job whose worker died is given alone, so that it cannot take others along.
-- Nobody gets anything while the end of the history is missing.
-- keys: epoch ops ops_old journal fence
-- keys: jobs transfers queue lanes ready leases leased paused riding forks recovering
-- args: 1 worker  2 most jobs  3 lease time, ms
-- reply: NONE | OK, lane, epoch, counter, until, step, (id, job, transfer, riding)*
local function grant(lane, l, till)
  local out = {'OK', lane, l.p, l.c, int(till), l.s}
  local jobs, transfers = call('HMGET', K.jobs, unpack(l.ids)), call('HMGET', K.transfers, unpack(l.ids))
  local riding = call('HMGET', K.riding, unpack(l.ids))
  for i, id in ipairs(l.ids) do
    out[#out + 1] = id
    out[#out + 1] = jobs[i] or ''
    out[#out + 1] = transfers[i] or ''
    out[#out + 1] = riding[i] or ''
  end
  return out
end

if recovering() then return {'NONE'} end

-- The reply was lost: the same lease again, if it still runs.
local before = replay()
if before then
  local l = lease(before[1], before[2], before[3])
  if l then return grant(before[1], l, tonumber(call('ZSCORE', K.leases, before[1]))) end
end

for _, lane in ipairs(call('ZRANGEBYSCORE', K.ready, '-inf', now, 'LIMIT', 0, 16)) do
  local strict = string.sub(call('HGET', K.lanes, lane) or 'l', 1, 1) == 's'
  local reach = 4 * tonumber(args(2))
  local most = strict and reach or tonumber(args(2))
  local stop = strict and last(lane) or ('[' .. lane .. '\n' .. ms(now) .. '\011')
  local ids, route, step = {}, nil, nil
  local rows, found = call('ZRANGEBYLEX', K.queue, first(lane), stop, 'LIMIT', 0, reach), {}
  for i, r in ipairs(rows) do found[i] = rowid(r) end
  local jobs = #found > 0 and call('HMGET', K.jobs, unpack(found))
  for i, r in ipairs(rows) do
    if #ids >= most then break end
    local id, j = found[i], jobs[i] and cjson.decode(jobs[i])
    if not j or j.st ~= 'pending' or row(id, j) ~= r or call('HEXISTS', K.transfers, id) == 0 then
      -- A key was lost; audit puts back what can be.
      call('ZREM', K.queue, r)
      journal('damaged', id, 'lane', lane)
    elseif j.nb > now then
      break -- in a strict lane nobody passes
    elseif #ids == 0 then
      ids[1], route, step = id, j.r, j.s
      if j.cr > 0 then break end
    elseif j.r == route and j.s == step and j.cr == 0 then
      ids[#ids + 1] = id
    elseif strict then
      break
    end
  end
  if #ids > 0 then
    local l = {p = epoch, c = mark(), w = args(1), s = step, ids = ids}
    local till = now + tonumber(args(3))
    call('ZREM', K.ready, lane)
    call('ZADD', K.leases, till, lane)
    call('HSET', K.leased, lane, cjson.encode(l))
    reply({lane, l.p, l.c})
    return grant(lane, l, till)
  end
  touch(lane)
end
return {'NONE'}
