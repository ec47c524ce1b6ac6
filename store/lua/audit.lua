#!lua flags=allow-oom
-- audit: put back what a lost key took from some transfers: the job itself
-- (from its plan: it begins again, and the chain says how far it really is),
-- its rows in queue, index and bindings.
-- keys: epoch journal
-- keys: facts transfers plans jobs ledger queue lanes ready leases paused bind index waits offers offered evidence forks held heldby
-- args: per transfer: id, route, time, place, number of index rows, rows
-- reply: OK, repairs
local repairs = 0
local function mend(key, r)
  if not call('ZSCORE', key, r) then
    call('ZADD', key, 0, r)
    repairs = repairs + 1
  end
end

local at = 1
while at <= nargs do
  local id, nrows = args(at), tonumber(args(at + 4))
  local transfer, plantext = call('HGET', K.transfers, id), call('HGET', K.plans, id)
  if transfer and plantext then
    if create(id, transfer, plantext, args(at + 1), args(at + 2), args(at + 3), {}) then
      -- It began again: what it took before is there for it once more.
      for fact in string.gmatch(call('HGET', K.ledger, id) or '', '"fact":{"id":"([^"]*)"') do giveback(id, fact) end
      repairs = repairs + 1
    end
    local j, plan = get(id), cjson.decode(plantext)
    if j.st == 'pending' then
      if call('HEXISTS', K.lanes, j.l) == 0 then
        call('HSET', K.lanes, j.l, modeof(j.x, plan[j.n + 1]))
        repairs = repairs + 1
      end
      if not call('ZSCORE', K.queue, row(id, j)) then dirty[j.l] = true end
      mend(K.queue, row(id, j))
      if j.k then
        mend(K.waits, waitrow(id, j))
        shared[j.k] = true
      end
    end
    local held = call('HGET', K.held, id)
    if held then
      local h = cjson.decode(held)
      for chain in pairs(h.c) do mend(K.heldby, chain .. '\n' .. h.p .. '\n' .. id) end
    end
    if j.st == 'pending' or j.st == 'parked' and not held then
      for i = j.n, #plan - 1 do
        if plan[i + 1].k ~= '' and not plan[i + 1].f then mend(K.bind, bindrow(id, plan[i + 1].k, i)) end
      end
    end
    mend(K.index, worksheet(id, j))
    if not held then
      if j.b then mend(K.evidence, origin(id, j)) end
      for _, r in ipairs(restson(id, j, plan)) do mend(K.evidence, r) end
    end
    for k = 1, nrows do mend(K.index, args(at + 4 + k)) end
  end
  at = at + 5 + nrows
end
dealall()
touchall()
if repairs > 0 then journal('repaired', '', 'n', int(repairs)) end
return {'OK', int(repairs)}
