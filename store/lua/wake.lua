#!lua flags=allow-oom
-- wake: bring the next look at a job forward to now.
-- keys: epoch jobs queue lanes ready leases paused forks
-- args: 1 id
-- reply: OK | UNKNOWN
local id = args(1)
local j = get(id)
if not j then return {'UNKNOWN'} end
if j.st == 'pending' and j.nb > now then
  again(id, j, now)
  put(id, j)
  touchall()
end
return {'OK'}
