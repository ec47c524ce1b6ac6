#!lua flags=allow-oom
-- reap: take lanes from workers that died. The crash is counted on what may
-- have killed them: the head of a strict lane, every job of a loose one. At six in a
-- row a loose job is parked, the last five of them with nobody beside it: a process
-- that is killed every few seconds parks nobody, one that dies of a job is soon
-- rid of it. A strict head backs off.
-- keys: epoch journal
-- keys: jobs ledger queue lanes ready leases leased paused index waits forks
-- args: none
-- reply: OK, number of lanes
local lanes = call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, 100)
for _, lane in ipairs(lanes) do
  local text = call('HGET', K.leased, lane)
  local l = text and cjson.decode(text) or {ids = {}}
  for _, id in ipairs(l.ids) do
    local j = get(id)
    if j and j.st == 'pending' and j.s == l.s and j.l == lane then
      j.cr = j.cr + 1
      local cause = 'lease of ' .. l.w .. ' ran out'
      if j.cr >= 6 and not j.x then
        park(id, j, 'poison', cause, l.w)
      else
        j.e = cause
        again(id, j, now + math.min(60000, 1000 * 2 ^ (j.cr - 1)))
        put(id, j)
        journal('crash', id, 'from', j.s, 'by', l.w)
      end
      if j.x then break end
    end
  end
  release(lane)
end
touchall()
return {'OK', int(#lanes)}
