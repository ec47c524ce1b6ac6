-- What happens to transfers when a final block changes; behind lib in the scripts
-- that set aside, read again and let go. How a transfer was before it was set
-- aside, and what is known since, is JSON (hash held):
--   j the job   p where it began   c chains whose forks it waits for
--   g chains on which its beginning is gone   x another message has its number
--   low first step whose end is open again   u facts that stand for ends now
-- ends lists what stands for the end of each of a transfer's steps: the last line
-- of its ledger that counts, or what was seen again in its place since; again has
-- what is not in the ledger yet.
local function ends(id, j, again)
  local list, of = {}, {}
  for line in string.gmatch(counted(id, j), '[^\n]+') do
    local l = cjson.decode(line)
    if l.outcome ~= '' then
      if not of[l.step] then
        of[l.step] = {step = l.step}
        list[#list + 1] = of[l.step]
      end
      of[l.step].outcome, of[l.step].at, of[l.step].fact = l.outcome, l.at, l.fact
    elseif l.fact and of[l.step] then
      of[l.step].fact = l.fact
    end
  end
  for _, u in ipairs(again or {}) do
    if of[u.step] then of[u.step].fact = cjson.decode(u.fact) end
  end
  return list
end

-- moved says whether the end of a step rests on what a fork has changed. What
-- looks saw has no height: all since a time counts, on every chain that the
-- step's lane relies on.
local function moved(e, step, chain, rec)
  if e.fact then return e.fact.chain == chain and string.sub(e.fact.pos, 1, 20) >= rec.from end
  if seconds(e.at) < rec.since then return false end
  for _, c in ipairs(step.c or {}) do
    if c == chain then return true end
  end
  return false
end

-- seenagain finds a fact that is there now, stands for nothing else of the
-- transfer's and says what ended a step: of a shared key the oldest on offer.
local function seenagain(j, step, outcome, used)
  if step.f then
    local r = first(step.k)
    while r do
      r = call('ZRANGEBYLEX', K.offers, r, last(step.k), 'LIMIT', 0, 1)[1]
      local raw = r and string.match(call('HGET', K.offered, rowid(r)) or '', '^\n(.*)$')
      local o = raw and cjson.decode(raw)
      if o and o.outcome == outcome and not used[o.id] and (o.chain ~= j.b or o.pos >= j.p) then return o, raw end
      r = r and '(' .. r
    end
  elseif step.k ~= '' then
    local list = call('HGET', K.facts, step.k)
    for _, entry in ipairs(list and cjson.decode(list) or {}) do
      local raw = string.sub(entry, 17)
      local o = cjson.decode(raw)
      if o.outcome == outcome and not used[o.id] then return o, raw end
    end
  end
end

-- shaky is the first of a transfer's steps whose end rests on what has changed
-- and was not seen again (nil: none), and the facts that stand for the others
-- now. It only looks: stand makes them the transfer's.
local function shaky(id, j, plan, chain, rec, again)
  local at, used, open = {}, {}, {}
  for i = 0, #plan - 1 do at[plan[i + 1].n] = i end
  for _, e in ipairs(ends(id, j, again)) do
    if not at[e.step] then
      -- of a plan that it no longer has
    elseif moved(e, plan[at[e.step] + 1], chain, rec) then
      open[#open + 1] = e
    elseif e.fact then
      used[e.fact.id] = true
    end
  end
  local low, found = nil, {}
  for _, e in ipairs(open) do
    local o, raw = seenagain(j, plan[at[e.step] + 1], e.outcome, used)
    if o then
      used[o.id] = true
      found[#found + 1] = {step = e.step, fact = raw}
    elseif not low or at[e.step] < low then
      low = at[e.step]
    end
  end
  return low, found
end

-- stand adds facts that were seen again to what a held transfer rests on.
local function stand(id, h, plan, found)
  local u, of = h.u or {}, {}
  for i, old in ipairs(u) do of[old.step] = i end
  for _, new in ipairs(found) do
    local o = cjson.decode(new.fact)
    for _, step in ipairs(plan) do
      if step.n == new.step then
        if step.f then
          call('ZREM', K.offers, step.k .. '\n' .. o.pos .. '\n' .. o.id)
          call('HSET', K.offered, o.id, id .. '\n' .. new.fact)
        end
        for _, r in ipairs(rests(id, step, o)) do call('ZADD', K.evidence, 0, r) end
      end
    end
    u[of[new.step] or #u + 1] = new
  end
  if #u > 0 then h.u = u end
end

-- hold parks a transfer that rests on a block that has changed, whatever it was
-- before, and keeps how it was. gone: it began in such a block.
local function hold(id, chain, gone, note)
  local text, now_is = call('HGET', K.held, id), call('HGET', K.jobs, id)
  if not now_is then return false end
  local j = cjson.decode(now_is)
  local h = text and cjson.decode(text) or {j = now_is, p = j.p, c = {}, g = {}}
  h.c[chain] = true
  if gone then h.g[chain] = true end
  call('HSET', K.held, id, cjson.encode(h))
  call('ZADD', K.heldby, 0, chain .. '\n' .. h.p .. '\n' .. id)
  if text then return false end

  local old = worksheet(id, j)
  if j.st == 'pending' then leave(id, j) end
  write(id, j.s, '', 'finality_regress', note, 'watcher')
  j.st, j.d, j.re, j.e = 'parked', false, 'finality_regress', note
  call('ZREM', K.index, old)
  call('ZADD', K.index, 0, worksheet(id, j))
  put(id, j)
  journal('held', id, 'chain', chain, 'gone', gone and '1' or '0')
  return true
end

-- undo takes the ends of a transfer's steps from one on out of account. What it
-- took of shared keys for them is on offer again: it goes that way once more.
local function undo(id, j, plan, low)
  local void, n = {}, 0
  for _, i in ipairs(j.g or {}) do void[i] = true end
  for _, r in ipairs(restson(id, j, plan)) do call('ZREM', K.evidence, r) end
  for line in string.gmatch(call('HGET', K.ledger, id) or '', '[^\n]+') do
    n = n + 1
    local l = cjson.decode(line)
    for i = low, #plan - 1 do
      if (l.outcome ~= '' or l.fact) and plan[i + 1].n == l.step and not void[n] then
        void[n] = true
        if l.fact then giveback(id, l.fact.id) end
      end
    end
  end
  j.g = {}
  for i = 1, n do if void[i] then j.g[#j.g + 1] = i end end
  if #j.g == 0 then j.g = nil end
  for _, r in ipairs(restson(id, j, plan)) do call('ZADD', K.evidence, 0, r) end
end

-- letgo ends a hold. With everything seen again the transfer is what it was. Else
-- it stands at the first step whose end is open again: at work if nothing was
-- sent on the strength of it, that is, if all steps from there on only wait;
-- parked for a person otherwise. Nothing is set back behind a payment unasked.
-- The facts that stand for ends now go into the ledger, so that none counts for
-- another one as well; those of steps that are open again are given back.
local function letgo(id, h, who)
  local old, plan = worksheet(id, get(id)), cjson.decode(call('HGET', K.plans, id))
  local j, low, steps = cjson.decode(h.j), h.low, {}
  call('HDEL', K.held, id)
  for i = 0, #plan - 1 do steps[plan[i + 1].n] = i end
  for _, u in ipairs(h.u or {}) do
    local f, i = cjson.decode(u.fact), steps[u.step]
    if i and (not low or i < low) then
      write(id, u.step, '', 'confirmed', '', who, u.fact)
      bytx(id, f)
    else
      giveback(id, f.id)
      if i then
        for _, r in ipairs(rests(id, plan[i + 1], f)) do call('ZREM', K.evidence, r) end
      end
    end
  end
  if not low then
    if not h.u then write(id, j.s, '', 'confirmed', '', who) end
    if j.st == 'pending' then
      j.k = nil
      enter(id, j, plan[j.n + 1])
      call('ZREM', K.index, old)
      call('ZADD', K.index, 0, worksheet(id, j))
      put(id, j)
      consume(id, j, plan, counted(id, j))
      return 'kept'
    end
  else
    local sent = h.x or j.st == 'parked'
    for i = low, j.n do sent = sent or not plan[i + 1].w end
    j.n, j.at, j.cr, j.nb, j.d, j.k = low, 0, 0, now, false, nil
    j.s, j.l, j.q = plan[low + 1].n, plan[low + 1].l, plan[low + 1].q
    undo(id, j, plan, low)
    write(id, j.s, '', 'finality_regress', 'its end is open again', who)
    bindfrom(id, plan, low)
    if sent then
      j.st, j.re, j.e = 'parked', 'finality_regress', 'what ended this step is gone from the chain'
    else
      j.st, j.re, j.e = 'pending', '', ''
      enter(id, j, plan[low + 1])
    end
  end
  call('ZREM', K.index, old)
  call('ZADD', K.index, 0, worksheet(id, j))
  put(id, j)
  if low and j.st == 'pending' then consume(id, j, plan, counted(id, j)) end
  return low and (j.st == 'parked' and 'parked' or 'reopened') or 'kept'
end

-- delivered says whether something that a transfer's steps wait for was there
-- before a place where a transfer begins again. Facts of shared keys are nobody's.
local function delivered(plan, chain, pos)
  for _, step in ipairs(plan) do
    local list = step.k ~= '' and not step.f and call('HGET', K.facts, step.k)
    for _, entry in ipairs(list and cjson.decode(list) or {}) do
      local f = cjson.decode(string.sub(entry, 17))
      if f.chain ~= chain or f.pos < pos then return true end
    end
  end
  return false
end

-- rebegin takes note that a transfer whose beginning had gone begins again. It
-- may be another message under the same number: then it has to begin anew and
-- waits for events of its own, and where something was done for the old one a
-- person must look.
local function rebegin(id, chain, transfer, plantext, time, pos, rows)
  local text = call('HGET', K.held, id)
  local h = text and cjson.decode(text)
  if not h or not h.g[chain] then return end
  local function body(t)
    return string.gsub(string.gsub(string.gsub(t, '"origin":{[^}]*}', ''), '"height":%d+', ''), '"at":%d+', '')
  end
  local stored, j, prior = call('HGET', K.transfers, id) or '{}', get(id), cjson.decode(h.j)
  local before, after = cjson.decode(call('HGET', K.plans, id) or '[]'), cjson.decode(plantext)
  if body(stored) ~= body(transfer) then
    write(id, j.s, '', 'finality_regress', 'another message has its number now', 'watcher')
    if prior.n > 0 or prior.st ~= 'pending' or call('HEXISTS', K.riding, id) == 1 or delivered(before, chain, pos) then
      h.x, h.low = true, 0
    end
  end
  for i = 0, #before - 1 do
    if before[i + 1].k ~= '' then call('ZREM', K.bind, bindrow(id, before[i + 1].k, i)) end
  end
  if prior.st == 'pending' or prior.st == 'parked' then bindfrom(id, after, prior.n) end

  local t = cjson.decode(stored)
  local index = worksheet(id, j)
  call('ZREM', K.evidence, origin(id, j))
  for _, who in ipairs({t.sender, t.recipient}) do call('ZREM', K.index, 'a\n' .. who .. '\n' .. j.t .. '\n' .. id) end
  call('ZREM', K.index, index)
  call('HSET', K.transfers, id, transfer)
  call('HSET', K.plans, id, plantext)
  j.t, j.p, prior.t, prior.p = time, pos, time, pos
  put(id, j)
  call('ZADD', K.index, 0, worksheet(id, j), unpack(rows))
  call('ZADD', K.evidence, 0, origin(id, j))

  h.g[chain], h.j = nil, cjson.encode(prior)
  call('HSET', K.held, id, cjson.encode(h))
  if not next(h.c) and not next(h.g) then letgo(id, h, 'watcher') end
end
