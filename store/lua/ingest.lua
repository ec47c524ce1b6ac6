#!lua
-- ingest: new transfers, facts and the chain's cursor, all or nothing. Without
-- allow-oom: a full Redis refuses the whole of it.
-- keys: epoch ops ops_old journal fence
-- keys: cursors arrivals facts transfers plans jobs ledger queue lanes ready leases paused bind index waits offers offered
-- keys: evidence trail forks held riding quarantine
-- A forked chain is read again by its operator alone; nothing else of it goes in.
-- args: 1 chain  2 cursor it was read from ('' = backfill, the cursor is not
--       looked at; 'fork' = backfill of a forked chain)  3 cursor after
--       4 number of facts, 5 of jobs, 6 of rows for the trail
--       then the rows, then each fact as JSON
--       then per job: id, transfer, plan, route, time, place, number of index rows, rows
-- reply: OK, created, advanced, mark | CURSOR, stored cursor | FORKED | NOFORK
local done = replay()
if done then return done end

local chain, again = args(1), args(2) == 'fork'
local live = args(2) ~= '' and not again
if (call('HEXISTS', K.forks, chain) == 1) ~= again then return {again and 'NOFORK' or 'FORKED'} end
if live then
  local stored = call('HGET', K.cursors, chain) or ''
  if stored ~= args(2) then return {'CURSOR', stored} end
end

local created, advanced = 0, 0
local nfacts, njobs, nrows = tonumber(args(4)), tonumber(args(5)), tonumber(args(6))
local at = 7

-- The hashes of what was final, to find a fork by. Older ones get sparser.
for _ = 1, nrows do
  call('ZADD', K.trail, 0, args(at))
  at = at + 1
end
if nrows > 0 and call('ZLEXCOUNT', K.trail, first(chain), last(chain)) > 2048 then
  for i, r in ipairs(call('ZRANGEBYLEX', K.trail, first(chain), last(chain), 'LIMIT', 0, 1024)) do
    if i % 2 == 0 then call('ZREM', K.trail, r) end
  end
end

-- ordinary keeps a fact that decides all who wait for its key.
local function ordinary(raw, f)
  -- Every fact is kept, since a transfer bound to its key may come later.
  local list = call('HGET', K.facts, f.key)
  list = list and cjson.decode(list) or {}
  local known, fresh = false, false
  for _, entry in ipairs(list) do
    if cjson.decode(string.sub(entry, 17)).id == f.id then known = true end
  end
  if not known then
    if #list < 8 then
      fresh = true
      list[#list + 1] = string.format('%016.0f', call('INCR', K.arrivals)) .. raw
      call('HSET', K.facts, f.key, cjson.encode(list))
      if f.chain ~= '' then call('ZADD', K.evidence, 0, fromwhere(f)) end
    else
      journal('fact_dropped', f.key, 'fact', f.id)
    end
  end

  -- Then it decides whoever waits for it now, each at most once: who has two
  -- steps of this key does not take both with one event told twice.
  local seen = {}
  for _, r in ipairs(call('ZRANGEBYLEX', K.bind, first(f.key), last(f.key))) do
    local id = string.match(r, '\n([^\n]*)\n%d+$')
    if id and not seen[id] then
      seen[id] = true
      local j = get(id)
      if j and j.st == 'pending' and (fresh or not told(counted(id, j), f)) then
        local plan = call('HGET', K.plans, id)
        if plan and decide(id, j, cjson.decode(plan), raw, f) then advanced = advanced + 1 end
      end
    end
  end
  return fresh
end

-- goodagain takes what is seen again out of quarantine.
local lists = {}
local function goodagain(f)
  if not lists[f.key] then
    local list = call('HGET', K.quarantine, f.key)
    lists[f.key] = list and cjson.decode(list) or {}
  end
  for i, q in ipairs(lists[f.key]) do
    local old = cjson.decode(q.fact)
    if old.chain == f.chain and old.outcome == f.outcome then
      table.remove(lists[f.key], i)
      journal('fact_released', f.key, 'fact', f.id)
      return
    end
  end
end

-- Facts first: a job made below finds those of its own batch.
for _ = 1, nfacts do
  local raw = args(at)
  local f = cjson.decode(raw)
  local fresh
  if f.shared then fresh = offer(raw, f) else fresh = ordinary(raw, f) end
  if fresh and forks()[f.chain] then goodagain(f) end
  at = at + 1
end

for key, list in pairs(lists) do
  if #list > 0 then call('HSET', K.quarantine, key, cjson.encode(list)) else call('HDEL', K.quarantine, key) end
end

for _ = 1, njobs do
  local id, n = args(at), tonumber(args(at + 6))
  local rows = {}
  for k = 1, n do
    rows[2 * k - 1] = 0
    rows[2 * k] = args(at + 6 + k)
  end
  rebegin(id, chain, args(at + 1), args(at + 2), args(at + 4), args(at + 5), rows)
  if create(id, args(at + 1), args(at + 2), args(at + 3), args(at + 4), args(at + 5), rows) then created = created + 1 end
  at = at + 7 + n
end

advanced = advanced + dealall()
touchall()
if live then call('HSET', K.cursors, chain, args(3)) end
return reply({'OK', int(created), int(advanced), mark()})
