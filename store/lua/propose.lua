#!lua
-- propose: put a batch up for signatures, unless a message of it waits in another
-- one already. A batch never changes: its digest names it, so that the operation
-- repeated finds itself.
-- keys: epoch journal proposals proposing proposed
-- args: 1 chain  2 digest  3 proposal as JSON, without its time  4 most proposals
--       of the chain, then each message in a row as of proposing
-- reply: OK, ms | EXISTS, digest, ms and JSON | BUSY
local chain, digest = args(1), args(2)
local there = call('HGET', K.proposals, chain .. '\n' .. digest)
if there then return {'EXISTS', digest, there} end
for i = 5, nargs do
  local other = call('HGET', K.proposing, args(i))
  local text = other and call('HGET', K.proposals, chain .. '\n' .. other)
  if text then return {'EXISTS', other, text} end
end
if call('ZLEXCOUNT', K.proposed, first(chain), last(chain)) >= tonumber(args(4)) then return {'BUSY'} end

-- The time stands in front of the JSON, which is kept byte by byte.
call('HSET', K.proposals, chain .. '\n' .. digest, ms(now) .. ' ' .. args(3))
call('ZADD', K.proposed, 0, chain .. '\n' .. ms(now) .. '\n' .. digest)
for i = 5, nargs do call('HSET', K.proposing, args(i), digest) end
journal('proposed', digest, 'to', chain)
return {'OK', ms(now)}
