-- The library every script begins with (all but open).
-- head args: 1 epoch counter and 2 lineage the caller opened with,
--            3 operation id, 4 '1' when the operation is repeated,
--            5 clock in ms or '' for the server's
--
-- A job (hash jobs) is JSON with these letters; only strings, booleans and
-- numbers below 10^14 are in it, since cjson keeps no more digits:
--   r route   t time of origin, padded   n step index from 0   s step name
--   l lane    x strict   q seq, padded   st status   at attempts   cr crashes
--   nb not before, ms   e last error   re reason   ca, ua created, updated, ms
--   d discarded   b chain it began on   p where it began: height and log, padded
--   k shared key it waits for   g lines of the ledger that no longer count
-- A plan (hash plans) is a list of steps:
--   n name  l lane  x strict  q seq  k key  p poll ms  w only waits
--   o outcome -> name of the next step or terminal status
--   f the key is shared: each fact decides one of those who wait for it
--   c chains its lane relies on   b (of the first step) chain it begins on
local call = redis.call
local args = function(i) return ARGV[i + 5] end
local nargs = #ARGV - 5

-- A server that knows less than the caller has seen gets no write.
local epoch
do
  local stored = call('GET', K.epoch)
  local c, l
  if stored then c, l = string.match(stored, '^(%d+) (%x+)$') end
  if not c or l ~= ARGV[2] or tonumber(c) < tonumber(ARGV[1]) then return {'FORGOT'} end
  epoch = c
end

local now
if ARGV[5] ~= '' then
  now = tonumber(ARGV[5])
else
  local t = call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local function ms(n) return string.format('%015.0f', n) end
local function int(n) return string.format('%.0f', n) end

-- mark counts a lease, a nonce or an ingest: who got a higher one than there is
-- now knows that what it did was lost. One that was lost itself goes on above all
-- that were counted so far, since fences only rise.
local function mark()
  if call('EXISTS', K.fence) == 0 then call('SET', K.fence, int(now)) end
  return int(call('INCR', K.fence))
end

-- While the end of the history is missing, nothing new is begun.
local forgetful = 'redis forgot, and its journal is being compared with the chains'
local function recovering() return call('EXISTS', K.recovering) == 1 end

-- Replies by operation id, so that a repeated operation changes nothing. Two
-- generations: the younger is dropped behind the older at 50,000 entries.
local function replay()
  if ARGV[4] ~= '1' then return nil end
  local r = call('HGET', K.ops, ARGV[3]) or call('HGET', K.ops_old, ARGV[3])
  if r then return cjson.decode(r) end
end
local function reply(r)
  if call('HLEN', K.ops) >= 50000 then call('RENAME', K.ops, K.ops_old) end
  call('HSET', K.ops, ARGV[3], cjson.encode(r))
  return r
end

-- between gives the ends of all rows that begin with a prefix.
local function first(p) return '[' .. p .. '\n' end
local function last(p) return '(' .. p .. '\011' end

-- journal adds a line for people and tests; thirty days are kept.
local function journal(kind, id, ...)
  call('XADD', K.journal, 'MINID', '~', int(math.max(0, now - 2592000000)), '*', 'k', kind, 'id', id, ...)
end

local terminal = {done = true, refunded = true, credited = true, parked = true}

local function get(id)
  local s = call('HGET', K.jobs, id)
  return s and cjson.decode(s)
end
local function put(id, j)
  j.ua = now
  call('HSET', K.jobs, id, cjson.encode(j))
end

-- The row of a pending job in the queue: by sequence in a strict lane, by due
-- time in a loose one.
local function row(id, j)
  return j.l .. '\n' .. (j.x and j.q or ms(j.nb)) .. '\n' .. id
end
local function rowid(r) return string.match(r, '\n([^\n]*)$') end

-- The row by which jobs are counted and listed.
local function worksheet(id, j)
  local step = j.s
  if j.st == 'parked' then if j.d then step = '~discarded' end
  elseif j.st ~= 'pending' then step = '' end
  return 'w\n' .. j.r .. '\n' .. j.st .. '\n' .. step .. '\n' .. j.t .. '\n' .. id
end

-- The chains that have forked, name to record. A lane that relies on one of
-- them, by the names behind its mode in lanes, stands still.
local forked
local function forks()
  if not forked then
    forked = {}
    local all = call('HGETALL', K.forks)
    for i = 1, #all, 2 do forked[all[i]] = cjson.decode(all[i + 1]) end
  end
  return forked
end
local function stopped(mode)
  for chain in string.gmatch(mode, '\n([^\n]+)') do
    if forks()[chain] then return chain end
  end
end
local function modeof(x, step)
  return (x and 's 0' or 'l 0') .. (step.c and #step.c > 0 and '\n' .. table.concat(step.c, '\n') or '')
end

-- Lanes whose head may have changed; touched once at the end of a script.
local dirty = {}

-- touch says from when a lane may be claimed. A leased, paused or stopped lane
-- may not; an empty one is forgotten.
local function touch(lane)
  local head = call('ZRANGEBYLEX', K.queue, first(lane), last(lane), 'LIMIT', 0, 1)[1]
  local held = call('ZSCORE', K.leases, lane) or call('HEXISTS', K.paused, lane) == 1
  if not head then
    call('ZREM', K.ready, lane)
    if not held then call('HDEL', K.lanes, lane) end
    return
  end
  local text = call('HGET', K.lanes, lane) or 'l 0'
  if held or stopped(text) then call('ZREM', K.ready, lane) return end
  local mode, turn = string.match(text, '(%a) (%d+)')
  local at
  if mode == 's' then
    local j = get(rowid(head))
    at = j and j.nb or now
  else
    at = tonumber(string.match(head, '\n(%d+)\n'))
  end
  -- A lane just given back goes to the end of the line, however long its jobs
  -- have been waiting: a big backlog does not keep others from their turn.
  call('ZADD', K.ready, math.max(at, tonumber(turn)), lane)
end
local function touchall()
  for lane in pairs(dirty) do touch(lane) end
end

-- Shared keys with a new fact or somebody new who waits; dealt with at the end of
-- a script.
local shared = {}
local function waitrow(id, j) return j.k .. '\n' .. j.p .. '\n' .. id end

-- enter puts a job into the queue at the step it names. The lane's mode is set
-- by its first job; a plan that disagrees follows it.
local modes = {}
local function enter(id, j, step)
  j.s, j.l, j.q = step.n, step.l, step.q
  local mode = modes[step.l] or call('HGET', K.lanes, step.l)
  if not mode then
    mode = modeof(step.x, step)
    call('HSET', K.lanes, step.l, mode)
  end
  modes[step.l] = mode
  j.x = string.sub(mode, 1, 1) == 's'
  call('ZADD', K.queue, 0, row(id, j))
  dirty[j.l] = true
  if step.f then
    j.k = step.k
    call('ZADD', K.waits, 0, waitrow(id, j))
    shared[j.k] = true
  end
end
local function leave(id, j)
  call('ZREM', K.queue, row(id, j))
  dirty[j.l] = true
  if j.k then
    call('ZREM', K.waits, waitrow(id, j))
    j.k = nil
  end
end

-- again moves a job that stays at its step to another time.
local function again(id, j, at)
  if not j.x then call('ZREM', K.queue, row(id, j)) end
  j.nb = at
  if not j.x then call('ZADD', K.queue, 0, row(id, j)) end
  dirty[j.l] = true
end

-- write adds a line to a job's ledger. fact is JSON text, put in as it is:
-- decoding it would lose digits.
local function write(id, step, outcome, reason, note, by, fact)
  local line = string.format('{"step":%s,"outcome":%s,"reason":%s,"note":%s,"by":%s,"at":%s%s}\n',
    cjson.encode(step), cjson.encode(outcome), cjson.encode(reason), cjson.encode(note), cjson.encode(by),
    int(math.floor(now / 1000)), fact and (',"fact":' .. fact) or '')
  call('HSET', K.ledger, id, (call('HGET', K.ledger, id) or '') .. line)
end

-- Evidence: what rests on which height of a chain. Rows `chain, kind, at, what`:
-- b a transfer began there, f a fact is from there, a it advanced a transfer;
-- v a look at the chain advanced a transfer, at a time instead of a height.
local function spot(chain, kind, at, what) return chain .. '\n' .. kind .. '\n' .. at .. '\n' .. what end
local function seconds(n) return string.format('%020.0f', n) end
-- rests lists the rows of one end of a step.
local function rests(id, step, f, at)
  if f then
    if f.chain == '' then return {} end
    return {spot(f.chain, 'a', string.sub(f.pos, 1, 20), id)}
  end
  local rows = {}
  for i, chain in ipairs(step.c or {}) do rows[i] = spot(chain, 'v', seconds(at), id) end
  return rows
end
local function origin(id, j) return spot(j.b, 'b', string.sub(j.p, 1, 20), id) end
local function fromwhere(f) return spot(f.chain, 'f', string.sub(f.pos, 1, 20), f.key .. '\n' .. f.id) end

local function bindrow(id, key, i) return key .. '\n' .. id .. '\n' .. string.format('%02d', i) end

-- bindfrom lets facts find a transfer at each of its steps from one on; shared
-- keys find it when it stands there, see enter.
local function bindfrom(id, plan, n)
  for i = n, #plan - 1 do
    if plan[i + 1].k ~= '' and not plan[i + 1].f then call('ZADD', K.bind, 0, bindrow(id, plan[i + 1].k, i)) end
  end
end

-- bytx lets a transfer be found by a transaction of its ledger.
local function bytx(id, f)
  if not string.match(f.tx, '^0x0*$') then call('ZADD', K.index, 0, 't\n' .. f.tx .. '\n' .. id) end
end

-- advance ends step i (which may lie ahead of the job's own) with an outcome.
-- It is the only way forward, and nothing goes back. A plan that has no way on
-- parks the job.
local function advance(id, j, plan, i, outcome, reason, note, by, fact, f)
  local old, from = worksheet(id, j), j.n
  local ended = plan[i + 1]
  local to = ended.o[outcome]
  if not to then
    to = 'parked'
    note = 'step ' .. ended.n .. ' has no way on after ' .. outcome
    if reason == '' then reason = 'rejected' end
  end
  leave(id, j)
  write(id, ended.n, outcome, reason, note, by, fact)
  j.re, j.e, j.at, j.cr = reason, note, 0, 0
  if terminal[to] then
    j.n, j.s, j.st = i, ended.n, to
  else
    for k = i + 2, #plan do if plan[k].n == to then j.n = k - 1 end end
    local step = plan[j.n + 1]
    j.nb = step.w and now + step.p or now
    enter(id, j, step)
  end
  -- A parked job stays bound from its own step on: it may be retried.
  local upto = j.st == 'pending' and j.n or (j.st == 'parked' and i or #plan)
  for k = from, upto - 1 do
    local step = plan[k + 1]
    if step.k ~= '' and not step.f then call('ZREM', K.bind, bindrow(id, step.k, k)) end
  end
  for _, r in ipairs(rests(id, ended, f, math.floor(now / 1000))) do call('ZADD', K.evidence, 0, r) end
  if f then bytx(id, f) end
  call('ZREM', K.index, old)
  call('ZADD', K.index, 0, worksheet(id, j))
  put(id, j)
  journal('step', id, 'from', ended.n, 'to', to, 'outcome', outcome, 'reason', reason, 'by', by)
end

-- park stops a job where it is until a person looks.
local function park(id, j, reason, note, by)
  local old = worksheet(id, j)
  leave(id, j)
  write(id, j.s, '', reason, note, by)
  j.st, j.re, j.e = 'parked', reason, note
  call('ZREM', K.index, old)
  call('ZADD', K.index, 0, worksheet(id, j))
  put(id, j)
  journal('parked', id, 'from', j.s, 'reason', reason, 'by', by)
end

-- counted is a job's ledger without the lines that a fork has undone.
local function counted(id, j)
  local text = call('HGET', K.ledger, id) or ''
  if not j.g then return text end
  local void, lines, n = {}, {}, 0
  for _, i in ipairs(j.g) do void[i] = true end
  for line in string.gmatch(text, '[^\n]+') do
    n = n + 1
    if not void[n] then lines[#lines + 1] = line .. '\n' end
  end
  return table.concat(lines)
end

-- restson lists the rows of all ends of a transfer's steps that count.
local function restson(id, j, plan)
  local rows = {}
  for line in string.gmatch(counted(id, j), '[^\n]+') do
    local l = cjson.decode(line)
    for _, step in ipairs(plan) do
      if (l.outcome ~= '' or l.fact) and step.n == l.step then
        for _, r in ipairs(rests(id, step, l.fact, l.at)) do rows[#rows + 1] = r end
      end
    end
  end
  return rows
end

-- told says whether a fact is in a ledger: it decided a step before.
local function told(ledger, f) return string.find(ledger, '"id":"' .. f.id .. '"', 1, true) ~= nil end

-- decide applies one fact to one job: at the first of its steps, from the one
-- it is at, that waits for the fact's key.
local function decide(id, j, plan, raw, f)
  for i = j.n, #plan - 1 do
    if plan[i + 1].k == f.key then
      advance(id, j, plan, i, f.outcome, f.reason or '', '', 'event', raw, f)
      return true
    end
  end
  return false
end

-- consume applies the facts that came before their job, in order of arrival.
-- With a ledger text only those not in it.
local function consume(id, j, plan, ledger)
  local keys, found = {}, {}
  for i = j.n, #plan - 1 do
    local k = plan[i + 1].k
    if k ~= '' and not plan[i + 1].f and not keys[k] then
      keys[k] = true
      local list = call('HGET', K.facts, k)
      if list then for _, entry in ipairs(cjson.decode(list)) do found[#found + 1] = entry end end
    end
  end
  if #found == 0 then return end
  table.sort(found) -- entries begin with their padded arrival number
  for _, entry in ipairs(found) do
    if j.st ~= 'pending' then return end
    local raw = string.sub(entry, 17)
    local f = cjson.decode(raw)
    if not ledger or not told(ledger, f) then decide(id, j, plan, raw, f) end
  end
end

-- offer keeps a fact of a shared key until somebody takes it; an event that was
-- offered before, taken or not, is not offered again.
local function offer(raw, f)
  if call('HSETNX', K.offered, f.id, '\n' .. raw) == 1 then
    call('ZADD', K.offers, 0, f.key .. '\n' .. f.pos .. '\n' .. f.id)
    if f.chain ~= '' then call('ZADD', K.evidence, 0, fromwhere(f)) end
    shared[f.key] = true
    return true
  end
end

-- waiting is the oldest transfer that waits for a shared key.
local function waiting(key)
  while true do
    local r = call('ZRANGEBYLEX', K.waits, first(key), last(key), 'LIMIT', 0, 1)[1]
    if not r then return nil end
    local id = rowid(r)
    local j = get(id)
    if j and j.st == 'pending' and j.k == key then return id, j end
    call('ZREM', K.waits, r) -- a key was lost
  end
end

-- answer is the oldest fact of a shared key that fits a job and is nobody's. An
-- event is no answer to what began after it, and while its chain is forked there
-- it belongs to those who had it, see accept. from is how far there is nothing
-- for jobs that began on a chain: what does not fit one of them does not fit a
-- younger one, but may fit one that began elsewhere.
local function answer(key, j, from)
  local chain = j.b or ''
  while true do
    local r = call('ZRANGEBYLEX', K.offers, from[chain] or first(key), last(key), 'LIMIT', 0, 1)[1]
    if not r then return nil end
    from[chain] = '(' .. r
    local raw = string.match(call('HGET', K.offered, rowid(r)) or '', '^\n(.*)$')
    local f = raw and cjson.decode(raw)
    if not f then
      call('ZREM', K.offers, r) -- a key was lost
    elseif forks()[f.chain] and string.sub(f.pos, 1, 20) >= forks()[f.chain].from then
      -- nobody's yet
    elseif f.chain ~= j.b or f.pos >= j.p then
      return r, raw, f
    end
  end
end

-- deal gives the facts of a shared key to those who wait for it, the oldest that
-- fits to the oldest, each once.
local function deal(key)
  local n, from = 0, {}
  while true do
    local id, j = waiting(key)
    local plan = id and call('HGET', K.plans, id)
    if not plan then return n end
    local r, raw, f = answer(key, j, from)
    if not f then return n end
    call('ZREM', K.offers, r)
    call('HSET', K.offered, f.id, id .. '\n' .. raw)
    advance(id, j, cjson.decode(plan), j.n, f.outcome, f.reason or '', '', 'event', raw, f)
    n = n + 1
  end
end

-- dealall comes before touchall. A transfer may go from one shared key to
-- another; keys are taken in their order, so that the end is the same each time.
local function dealall()
  local n = 0
  while next(shared) do
    local keys = {}
    for k in pairs(shared) do keys[#keys + 1] = k end
    table.sort(keys)
    shared[keys[1]] = nil
    n = n + deal(keys[1])
  end
  return n
end

-- create begins a transfer at its first step. What is stored already is left
-- alone, but for lost halves of it. rows go into the index with its own.
local function create(id, transfer, plantext, route, time, pos, rows)
  if call('HEXISTS', K.jobs, id) == 1 then
    call('HSETNX', K.transfers, id, transfer)
    call('HSETNX', K.plans, id, plantext)
    return false
  end
  call('HSET', K.transfers, id, transfer)
  call('HSET', K.plans, id, plantext)
  local plan = cjson.decode(plantext)
  local j = {r = route, t = time, p = pos, b = plan[1].b, n = 0, st = 'pending', at = 0, cr = 0, e = '', re = '', ca = now, d = false}
  j.nb = plan[1].w and now + plan[1].p or now
  enter(id, j, plan[1])
  bindfrom(id, plan, 0)
  if j.b then call('ZADD', K.evidence, 0, origin(id, j)) end
  call('ZADD', K.index, 0, worksheet(id, j), unpack(rows))
  put(id, j)
  journal('new', id, 'to', j.s, 'route', route)
  consume(id, j, plan)
  return true
end

-- giveback offers a fact of a shared key again to whoever waits, if a transfer
-- took it that has no use for it.
local function giveback(id, fact)
  local taker, raw = string.match(call('HGET', K.offered, fact) or '', '^([^\n]*)\n(.*)$')
  if taker ~= id then return end
  local f = cjson.decode(raw)
  call('HSET', K.offered, fact, '\n' .. raw)
  call('ZADD', K.offers, 0, f.key .. '\n' .. f.pos .. '\n' .. f.id)
  shared[f.key] = true
end

-- lease reads the lease of a lane and says whether the caller's fence is its.
local function lease(lane, epoch, counter)
  local text = call('HGET', K.leased, lane)
  if not text then return nil end
  local l = cjson.decode(text)
  if l.p == epoch and l.c == counter then return l end
end
local function release(lane)
  call('HDEL', K.leased, lane)
  call('ZREM', K.leases, lane)
  local mode = call('HGET', K.lanes, lane)
  if mode then call('HSET', K.lanes, lane, string.sub(mode, 1, 2) .. int(now) .. (string.match(mode, '\n.*$') or '')) end
  dirty[lane] = true
end

-- Transactions. A row names an account's nonce: `chain:account, nonce`.
local decided = {succeeded = true, reverted = true, replaced = true, foreign = true}
local function txkey(r, key) return string.match(r, '^%d+') .. '\n' .. key end

-- keep adds a signed transaction to an intent, or renews its line.
local function keep(r, hash, json, bytes)
  local lines, found = {}, false
  for h, old in string.gmatch(call('HGET', K.attempts, r) or '', '(%S+) ([^\n]*)\n') do
    if h == hash then old, found = json, true end
    lines[#lines + 1] = h .. ' ' .. old .. '\n'
  end
  if not found then lines[#lines + 1] = hash .. ' ' .. json .. '\n' end
  call('HSET', K.attempts, r, table.concat(lines))
  if bytes then call('HSET', K.raw, r .. '\n' .. hash, bytes) end
end

-- settle_tx frees what a decided intent held.
local function settle_tx(r, it)
  call('ZREM', K.live, r)
  if call('HGET', K.txkeys, txkey(r, it.key)) == r then call('HDEL', K.txkeys, txkey(r, it.key)) end
  for _, id in ipairs(it.members) do
    if call('HGET', K.riding, id) == r .. '\n' .. it.key then call('HDEL', K.riding, id) end
  end
  call('HDEL', K.txdata, r)
  for hash in string.gmatch(call('HGET', K.attempts, r) or '', '(%S+) [^\n]*\n') do
    call('HDEL', K.raw, r .. '\n' .. hash)
  end
end
