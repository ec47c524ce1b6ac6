#!lua flags=allow-oom
-- quarantine: a final block has changed. Everything that rests on its chain from
-- a height on is set aside, all of it and at once with the stop of every lane
-- that relies on the chain: facts leave the lists that decide, transfers are
-- held as parked. Nothing is deleted. Done again it takes in what was
-- read since, and a deeper fork takes the place of one.
-- keys: epoch ops ops_old journal
-- keys: cursors forks evidence facts offers offered quarantine held heldby jobs plans ledger queue lanes ready leases paused index waits
-- args: 1 chain  2 cursor that was compared  3 first height that changed, padded
--       4 Unix seconds before which no look saw it, padded  5 newest block that
--       has not, as JSON ('null': none is known)  6 cause
-- reply: OK, record | CURSOR, stored cursor
local done = replay()
if done then return done end
local chain, from, cause = args(1), args(3), args(6)
local stored = call('HGET', K.cursors, chain) or ''
if stored ~= args(2) then return {'CURSOR', stored} end
local text = call('HGET', K.forks, chain)
local rec = text and cjson.decode(text)
if rec and rec.from < from then return {'OK', text} end
rec = {
  from = from, since = args(4), good = args(5), why = cause, at = int(math.floor(now / 1000)), n = (rec and rec.n or 0) + 1,
  facts = rec and rec.facts or 0, transfers = rec and rec.transfers or 0,
}

-- rows of one kind of evidence, from a height or a time on.
local function resting(kind, at)
  return call('ZRANGEBYLEX', K.evidence, '[' .. chain .. '\n' .. kind .. '\n' .. at, last(chain .. '\n' .. kind))
end

-- Facts, off the lists of their keys.
local lists = {}
for _, r in ipairs(resting('f', from)) do
  local key, id = string.match(r, '([^\n]*)\n([^\n]*)$')
  local raw
  local taken = string.match(call('HGET', K.offered, id) or '', '^[^\n]*\n(.*)$')
  if taken then
    raw = taken
    local f = cjson.decode(raw)
    call('HDEL', K.offered, id)
    call('ZREM', K.offers, f.key .. '\n' .. f.pos .. '\n' .. id)
  else
    local list, keep = call('HGET', K.facts, key), {}
    for _, entry in ipairs(list and cjson.decode(list) or {}) do
      local body = string.sub(entry, 17)
      if cjson.decode(body).id == id then raw = body else keep[#keep + 1] = entry end
    end
    if #keep > 0 then call('HSET', K.facts, key, cjson.encode(keep)) elseif list then call('HDEL', K.facts, key) end
  end
  call('ZREM', K.evidence, r)
  if raw then
    if not lists[key] then
      local q = call('HGET', K.quarantine, key)
      lists[key] = q and cjson.decode(q) or {}
    end
    table.insert(lists[key], {fact = raw, why = cause, at = rec.at})
    journal('fact_quarantined', key, 'fact', id)
    rec.facts = rec.facts + 1
  end
end

for key, list in pairs(lists) do call('HSET', K.quarantine, key, cjson.encode(list)) end

-- Transfers that began there, or went on by what is there. What a look saw
-- counts where no fact that is left says the same.
local note = chain .. ' has changed from height ' .. string.gsub(from, '^0+(%d)', '%1') .. ' on'
local function aside(r, gone)
  if hold(rowid(r), chain, gone, note) then rec.transfers = rec.transfers + 1 end
end
for _, r in ipairs(resting('b', from)) do aside(r, true) end
for _, r in ipairs(resting('a', from)) do aside(r, false) end
for _, r in ipairs(resting('v', rec.since)) do
  local id = rowid(r)
  local held, j, plan = call('HGET', K.held, id), get(id), call('HGET', K.plans, id)
  local h = held and cjson.decode(held)
  if h then j = cjson.decode(h.j) end
  if j and plan and shaky(id, j, cjson.decode(plan), chain, rec, h and h.u) then aside(r, false) end
end

text = cjson.encode(rec)
call('HSET', K.forks, chain, text)
for _, lane in ipairs(call('HKEYS', K.lanes)) do dirty[lane] = true end
forked = nil
touchall()
journal('forked', chain, 'from', from, 'facts', int(rec.facts), 'transfers', int(rec.transfers))
return reply({'OK', text})
