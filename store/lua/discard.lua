#!lua flags=allow-oom
-- discard: an operator gives a parked job up. Its row stays, and retry undoes it.
-- One that no fork is open for any more and whose beginning is gone may be given
-- up, too: it stays held, keeps its reason, and is at work again when it begins
-- again.
-- keys: epoch ops ops_old journal jobs ledger index held
-- args: 1 id  2 who  3 why
-- reply: OK | UNKNOWN | NOTPARKED | HELD
local done = replay()
if done then return done end

local id, who = args(1), args(2)
local j = get(id)
if not j then return {'UNKNOWN'} end
if j.st ~= 'parked' then return {'NOTPARKED'} end
local held = call('HGET', K.held, id)
if held and next(cjson.decode(held).c) then return {'HELD'} end
local old = worksheet(id, j)
j.d, j.re, j.e = true, held and j.re or 'operator', args(3)
write(id, j.s, '', 'operator', args(3), who)
call('ZREM', K.index, old)
call('ZADD', K.index, 0, worksheet(id, j))
put(id, j)
journal('discarded', id, 'from', j.s, 'by', who)
return reply({'OK'})
