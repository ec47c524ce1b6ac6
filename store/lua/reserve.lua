#!lua flags=allow-oom
-- reserve: take the next nonce of an account for a transaction and freeze its
-- members, in one go. There is no counter: the nonce follows from the intents
-- and from what the chain says, and no nonce with an intent is given again,
-- however far the chain's answer lags.
-- keys: epoch ops ops_old journal fence
-- keys: jobs leased intents txdata txstate nonces live txkeys riding lanes forks cursors recovering
-- args: 1 chain:account  2 key  3 lane, 4 epoch and 5 counter of the fence
--       (lane '' = none)  6 the chain's nonce  7 most undecided intents
--       8 intent as JSON  9 call data  10 chain, then members
-- reply: OK, nonce, mark | EXISTS, row | STALE | BUSY, why | RANGE
local done = replay()
if done then return done end

local account, key, lane = args(1), args(2), args(3)
local holder = call('HGET', K.txkeys, args(10) .. '\n' .. key)
if holder then return {'EXISTS', holder} end

-- A nonce may be taken already by what was lost: it is in the file of whoever
-- signed it.
if recovering() then return {'BUSY', forgetful} end

-- Nothing new is sent to a chain that has forked, nor for a lane that relies on
-- one: a worker that asked before the fork was found gets no nonce after it.
local fork = stopped(lane ~= '' and call('HGET', K.lanes, lane) or '')
for _, name in ipairs(call('HKEYS', K.forks)) do
  local cursor = call('HGET', K.cursors, name) or ''
  if string.match(cursor, '^%d+') == string.match(account, '^%d+') then fork = name end
end
if fork then return {'BUSY', 'a final block of ' .. fork .. ' has changed'} end

-- The lane must be the caller's, and a member that came with the lease must
-- still be at the step it was looked at.
local claimed, step = {}, nil
if lane ~= '' then
  local l = lease(lane, args(4), args(5))
  if not l then
    journal('stale', lane, 'verb', 'reserve', 'fence', args(4) .. '/' .. args(5), 'key', key)
    return {'STALE'}
  end
  step = l.s
  for _, id in ipairs(l.ids) do claimed[id] = true end
end
for i = 11, nargs do
  local j = claimed[args(i)] and get(args(i))
  if j and (j.st ~= 'pending' or j.s ~= step or j.l ~= lane) then return {'STALE'} end
  local ride = call('HGET', K.riding, args(i))
  if ride then return {'BUSY', args(i) .. ' rides in ' .. string.match(ride, '[^\n]*$')} end
end
if call('ZLEXCOUNT', K.live, first(account), last(account)) >= tonumber(args(7)) then
  return {'BUSY', 'too many undecided transactions'}
end

local nonce = tonumber(args(6))
local top = call('ZREVRANGEBYLEX', K.nonces, last(account), first(account), 'LIMIT', 0, 1)[1]
if top then nonce = math.max(nonce, tonumber(rowid(top)) + 1) end
local r = account .. '\n' .. string.format('%020.0f', nonce)
while call('HEXISTS', K.intents, r) == 1 do -- the set of nonces was lost
  nonce = nonce + 1
  r = account .. '\n' .. string.format('%020.0f', nonce)
end
if nonce >= 9007199254740992 then return {'RANGE'} end

call('HSET', K.intents, r, args(8))
call('HSET', K.txdata, r, args(9))
call('HSET', K.txstate, r, 'reserved\n{"state":"reserved"}')
call('ZADD', K.nonces, 0, r)
call('ZADD', K.live, 0, r)
call('HSET', K.txkeys, txkey(r, key), r)
for i = 11, nargs do call('HSET', K.riding, args(i), r .. '\n' .. key) end
journal('tx', r, 'to', 'reserved', 'key', key)
return reply({'OK', int(nonce), mark()})
