#!lua flags=allow-oom
-- open: check schema and history, then count one opening of the namespace. Where
-- the caller has seen more than is here, everything stands still from this very
-- script on, see recovered: nobody works on half a history, wherever the caller
-- dies.
-- keys: schema epoch journal fence recovering
-- args: 1 schema version, 2 fresh lineage, 3 lineage, 4 counter and 5 mark last
--       seen by the caller ('', 0 and 0: none), 6 '1' to accept that all of its
--       history was lost, 7 name of the instance, 8 clock in ms or '' for the
--       server's
-- reply: OK, epoch, mark | SCHEMA, found | FORGOT, epoch
-- Not idempotent, and need not be: a counter too high harms nobody.
local version = redis.call('GET', K.schema)
local stored = redis.call('GET', K.epoch)
if version and version ~= ARGV[1] then return {'SCHEMA', version} end

local counter, lineage = 0, nil
if stored then
  local c, l = string.match(stored, '^(%d+) (%x+)$')
  if not c then return {'SCHEMA', 'unreadable epoch'} end
  counter, lineage = tonumber(c), l
end

-- Another history, or none: an operator says what to do.
local seen, marked = tonumber(ARGV[4]), tonumber(ARGV[5])
local another = ARGV[3] ~= '' and lineage ~= ARGV[3]
if another and ARGV[6] ~= '1' then return {'FORGOT', stored or ''} end

-- The same history as it was before: its end was lost. A mark that is missing is
-- a lost key, and says nothing.
local mark = tonumber(redis.call('GET', K.fence) or '')
local older = ARGV[3] ~= '' and not another and (counter < seen or (mark ~= nil and mark < marked))

local function int(n) return string.format('%.0f', n) end
local epoch = int(math.max(counter, seen) + 1) .. ' ' .. (lineage or ARGV[2])
if older or another then
  local why = ARGV[7] .. ' has seen another history'
  if older then
    why = string.format('redis is back at epoch %s, mark %s; %s has seen %s, %s',
      int(counter), int(mark or 0), ARGV[7], int(seen), int(marked))
  end
  local at = ARGV[8] ~= '' and math.floor(tonumber(ARGV[8]) / 1000) or tonumber(redis.call('TIME')[1])
  local before = redis.call('GET', K.recovering)
  if before then at = tonumber(cjson.decode(before).at) end
  redis.call('SET', K.recovering, cjson.encode({token = epoch, at = int(at), why = why}))
  redis.call('XADD', K.journal, '*', 'k', 'forgot', 'id', '', 'by', ARGV[7], 'why', why)
end
if not stored then redis.call('SETNX', K.fence, '0') end
if older and mark and mark < marked then redis.call('SET', K.fence, int(marked)) end
redis.call('SET', K.schema, ARGV[1])
redis.call('SET', K.epoch, epoch)
redis.call('XADD', K.journal, '*', 'k', 'opened', 'id', '', 'by', ARGV[7], 'epoch', epoch)
return {'OK', epoch, int(tonumber(redis.call('GET', K.fence) or '0'))}
