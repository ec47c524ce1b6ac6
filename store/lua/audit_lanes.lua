#!lua flags=allow-oom
-- audit_lanes: a lane with jobs is leased, paused, stopped or ready; a lease has both its halves.
-- keys: epoch journal jobs queue lanes ready leases leased paused forks
-- args: none
-- reply: OK, repairs
local repairs = 0
local names = {}
for _, lane in ipairs(call('ZRANGE', K.leases, 0, -1)) do
  names[lane] = true
  if call('HEXISTS', K.leased, lane) == 0 then
    repairs = repairs + call('ZREM', K.leases, lane)
  end
end
for _, lane in ipairs(call('HKEYS', K.leased)) do
  names[lane] = true
  -- A lease without an end would hold its lane for ever: it ends now, and the
  -- next reap counts the crash.
  if not call('ZSCORE', K.leases, lane) then
    call('ZADD', K.leases, now, lane)
    repairs = repairs + 1
  end
end
for _, lane in ipairs(call('HKEYS', K.lanes)) do names[lane] = true end
for _, lane in ipairs(call('ZRANGE', K.ready, 0, -1)) do names[lane] = true end
for lane in pairs(names) do
  local before = call('ZSCORE', K.ready, lane)
  touch(lane)
  if call('ZSCORE', K.ready, lane) ~= before then repairs = repairs + 1 end
end
if repairs > 0 then journal('repaired', 'lanes', 'n', int(repairs)) end
return {'OK', int(repairs)}
