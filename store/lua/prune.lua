#!lua flags=allow-oom
-- prune: forget transfers that ended before a time. Parked ones stay, and so
-- does whoever still rides in an undecided transaction.
-- keys: epoch journal transfers plans jobs ledger index riding evidence
-- args: 1 cut, ms; then per transfer: id, number of index rows, rows
-- reply: OK, number of transfers
local cut, n, at = tonumber(args(1)), 0, 2
while at <= nargs do
  local id, nrows = args(at), tonumber(args(at + 1))
  local j = get(id)
  if j and terminal[j.st] and j.st ~= 'parked' and j.ua < cut and call('HEXISTS', K.riding, id) == 0 then
    local plan = call('HGET', K.plans, id)
    for _, r in ipairs(plan and restson(id, j, cjson.decode(plan)) or {}) do call('ZREM', K.evidence, r) end
    if j.b then call('ZREM', K.evidence, origin(id, j)) end
    call('ZREM', K.index, worksheet(id, j))
    for k = 1, nrows do call('ZREM', K.index, args(at + 1 + k)) end
    for _, k in ipairs({K.transfers, K.plans, K.jobs, K.ledger}) do call('HDEL', k, id) end
    journal('pruned', id, 'from', j.st)
    n = n + 1
  end
  at = at + 2 + nrows
end
return {'OK', int(n)}
