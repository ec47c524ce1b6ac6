#!lua flags=allow-oom
-- extend: keep a lane longer.
-- keys: epoch leases leased
-- args: 1 lane  2 epoch  3 counter  4 lease time, ms
-- reply: OK, until | STALE
if not lease(args(1), args(2), args(3)) then return {'STALE'} end
local till = now + tonumber(args(4))
call('ZADD', K.leases, till, args(1))
return {'OK', int(till)}
