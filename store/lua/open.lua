#!lua flags=allow-oom
-- open: check schema and history, then count one opening of the namespace.
-- keys: schema epoch journal fence
-- args: 1 schema version, 2 fresh lineage, 3 lineage and 4 counter last seen by
--       the caller ('' and 0: none), 5 '1' to accept that history was lost,
--       6 name of the instance
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

-- The caller has seen more than is here: keys were lost, or rolled back, or
-- this is another history altogether.
local seen = tonumber(ARGV[4])
local lost = ARGV[3] ~= '' and (lineage ~= ARGV[3] or counter < seen)
if lost and ARGV[5] ~= '1' then return {'FORGOT', stored or ''} end

counter = math.max(counter, seen) + 1
lineage = lineage or ARGV[2]
local epoch = string.format('%.0f %s', counter, lineage)
if not stored then redis.call('SETNX', K.fence, '0') end
redis.call('SET', K.schema, ARGV[1])
redis.call('SET', K.epoch, epoch)
redis.call('XADD', K.journal, '*', 'k', 'opened', 'id', '', 'by', ARGV[6], 'epoch', epoch)
return {'OK', epoch}
