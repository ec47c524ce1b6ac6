#!lua flags=allow-oom
-- settle: write the verdicts of one look and give the lane back. A lease ends
-- when it is reaped, not when its time is over: until then nobody else could
-- have had the lane. A verdict on a job that has left its step is ignored, and
-- so is an outcome where the key is shared: a look cannot tell whose event it
-- saw, only the events themselves are dealt out. Nor does an outcome count while
-- a chain is forked that the lane relies on: it may have been seen up there.
-- keys: epoch ops ops_old journal
-- keys: plans jobs ledger queue lanes ready leases leased paused bind index waits offers offered evidence forks
-- args: 1 lane  2 epoch  3 counter, then per verdict: id, step, outcome or '',
--       reason, fact as JSON or '', delay ms, cause, '1' counts, '1' parks
-- reply: OK | STALE
local done = replay()
if done then return done end

local lane = args(1)
local l = lease(lane, args(2), args(3))
if not l then
  journal('stale', lane, 'verb', 'settle', 'fence', args(2) .. '/' .. args(3))
  return {'STALE'}
end
local fork = stopped(call('HGET', K.lanes, lane) or '')

for at = 4, nargs, 9 do
  local id, outcome, reason, fact, cause = args(at), args(at + 2), args(at + 3), args(at + 4), args(at + 6)
  local j = get(id)
  if j and j.st == 'pending' and j.s == args(at + 1) and j.l == lane then
    if outcome ~= '' then
      local plan = call('HGET', K.plans, id)
      if j.k or fork then
        again(id, j, now + cjson.decode(plan or '[]')[j.n + 1].p)
        put(id, j)
      elseif plan then
        local f = fact ~= '' and cjson.decode(fact) or nil
        advance(id, j, cjson.decode(plan), j.n, outcome, reason, cause, l.w, f and fact, f)
      end
    elseif args(at + 8) == '1' and not j.x then
      park(id, j, reason, cause, l.w)
    else
      if args(at + 7) == '1' then j.at = j.at + 1 end
      j.e, j.re, j.cr = cause, reason, 0
      again(id, j, now + tonumber(args(at + 5)))
      put(id, j)
    end
  end
end
release(lane)
dealall()
touchall()
return reply({'OK'})
