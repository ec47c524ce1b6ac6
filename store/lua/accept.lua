#!lua flags=allow-oom
-- accept: an operator has looked, and the forked chain was read again. Transfers
-- are let go a page at a time, each once; the call that finds the last of them
-- moves the cursor and lets the lanes run again. Until then everything stands
-- still, wherever the caller dies.
-- keys: epoch ops ops_old journal
-- keys: cursors forks evidence trail facts offers offered plans jobs ledger queue lanes ready leases leased paused bind index waits held heldby
-- args: 1 chain  2 first height that changed, padded  3 cursor after  4 row for
--       the trail  5 who  6 most transfers  7 when and 8 how often the fork was
--       looked for, as the caller knows it: what was read before another look
--       was set aside by it
-- reply: OK, transfers left ('1' some), kept, reopened, parked | NOFORK | CURSOR, stored height
local done = replay()
if done then return done end
local chain, who, most = args(1), args(5), tonumber(args(6))
local text = call('HGET', K.forks, chain)
if not text then return {'NOFORK'} end
local rec = cjson.decode(text)
if rec.from ~= args(2) or rec.at ~= args(7) or int(rec.n or 0) ~= args(8) then return {'CURSOR', rec.from} end

local n = {kept = 0, reopened = 0, parked = 0}
local rows = call('ZRANGEBYLEX', K.heldby, first(chain), last(chain), 'LIMIT', 0, most)
for _, r in ipairs(rows) do
  local id = rowid(r)
  local body, plan = call('HGET', K.held, id), call('HGET', K.plans, id)
  call('ZREM', K.heldby, r)
  if body and plan and call('HEXISTS', K.jobs, id) == 1 then
    local h = cjson.decode(body)
    h.c[chain] = nil
    plan = cjson.decode(plan)
    local low, found = shaky(id, cjson.decode(h.j), plan, chain, rec, h.u)
    stand(id, h, plan, found)
    if low and (not h.low or low < h.low) then h.low = low end
    if not next(h.c) and not next(h.g) then
      local to = letgo(id, h, who)
      n[to] = n[to] + 1
    else
      -- It waits for another chain, or began in a block that is no more.
      call('HSET', K.held, id, cjson.encode(h))
      if not next(h.c) then n.parked = n.parked + 1 end
    end
  end
end
if #rows == most then
  dealall()
  touchall()
  return reply({'OK', '1', int(n.kept), int(n.reopened), int(n.parked)})
end

for _, r in ipairs(call('ZRANGEBYLEX', K.trail, '[' .. chain .. '\n' .. rec.from, last(chain))) do call('ZREM', K.trail, r) end
if args(4) ~= '' then call('ZADD', K.trail, 0, args(4)) end
call('HSET', K.cursors, chain, args(3))
-- Who took such a lane before the fork may still hold what he saw then.
for _, lane in ipairs(call('HKEYS', K.leased)) do
  if string.find((call('HGET', K.lanes, lane) or '') .. '\n', '\n' .. chain .. '\n', 1, true) then release(lane) end
end
call('HDEL', K.forks, chain)
forked = nil
for _, r in ipairs(call('ZRANGEBYLEX', K.evidence, '[' .. chain .. '\nf\n' .. rec.from, last(chain .. '\nf'))) do
  shared[string.match(r, '([^\n]*)\n[^\n]*$')] = true
end
dealall()
for _, lane in ipairs(call('HKEYS', K.lanes)) do dirty[lane] = true end
touchall()
journal('fork_accepted', chain, 'from', rec.from, 'by', who)
return reply({'OK', '0', int(n.kept), int(n.reopened), int(n.parked)})
