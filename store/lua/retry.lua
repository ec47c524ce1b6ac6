#!lua flags=allow-oom
-- retry: an operator puts a parked job back to the step it stopped at. Facts
-- that arrived while it was parked are applied; those that parked it are not.
-- keys: epoch ops ops_old journal
-- keys: facts plans jobs ledger queue lanes ready leases paused bind index waits offers offered evidence forks held
-- args: 1 id  2 who
-- reply: OK | UNKNOWN | NOTPARKED | HELD
local done = replay()
if done then return done end

local id, who = args(1), args(2)
local j, plan = get(id), call('HGET', K.plans, id)
if not j or not plan then return {'UNKNOWN'} end
if j.st ~= 'parked' then return {'NOTPARKED'} end
if call('HEXISTS', K.held, id) == 1 then return {'HELD'} end
plan = cjson.decode(plan)

local old, ledger = worksheet(id, j), counted(id, j)
j.st, j.d, j.re, j.e, j.at, j.cr, j.nb = 'pending', false, '', '', 0, 0, now
enter(id, j, plan[j.n + 1])
write(id, j.s, '', 'retried', '', who)
call('ZREM', K.index, old)
call('ZADD', K.index, 0, worksheet(id, j))
put(id, j)
journal('retried', id, 'to', j.s, 'by', who)
consume(id, j, plan, ledger)
dealall()
touchall()
return reply({'OK'})
