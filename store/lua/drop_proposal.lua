#!lua flags=allow-oom
-- drop_proposal: forget a proposal and its signatures. Its messages may be
-- proposed again.
-- keys: epoch journal proposals proposing proposed signatures
-- args: 1 chain  2 digest  3 why  4 number of signers, then the signers, then the
--       messages in rows as of proposing
-- reply: OK | GONE
local chain, digest, n = args(1), args(2), tonumber(args(4))
local name = chain .. '\n' .. digest
local text = call('HGET', K.proposals, name)
call('HDEL', K.proposals, name)
for i = 1, n do call('HDEL', K.signatures, name .. '\n' .. args(4 + i)) end
for i = 5 + n, nargs do
  if call('HGET', K.proposing, args(i)) == digest then call('HDEL', K.proposing, args(i)) end
end
if not text then return {'GONE'} end
-- Its row bears its time; a stranger's may bear another, and is looked for.
local at = string.match(text, '^(%d+) ') or ''
if call('ZREM', K.proposed, chain .. '\n' .. at .. '\n' .. digest) == 0 then
  for _, r in ipairs(call('ZRANGEBYLEX', K.proposed, first(chain), last(chain))) do
    if rowid(r) == digest then call('ZREM', K.proposed, r) end
  end
end
journal('dropped', digest, 'to', chain, 'why', args(3))
return {'OK'}
