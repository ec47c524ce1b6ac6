#!lua flags=allow-oom
-- audit_facts: a fact that is kept is evidence of its height.
-- keys: epoch journal facts evidence
-- args: keys of facts
-- reply: OK, repairs
local repairs = 0
for i = 1, nargs do
  local list = call('HGET', K.facts, args(i))
  for _, entry in ipairs(list and cjson.decode(list) or {}) do
    local f = cjson.decode(string.sub(entry, 17))
    if f.chain ~= '' then repairs = repairs + call('ZADD', K.evidence, 0, fromwhere(f)) end
  end
end
if repairs > 0 then journal('repaired', 'facts', 'n', int(repairs)) end
return {'OK', int(repairs)}
