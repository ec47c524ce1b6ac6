#!lua flags=allow-oom
-- audit_rows: remove rows of queue and index that no job answers for.
-- keys: epoch journal jobs queue lanes ready leases paused index forks
-- args: 1 'queue' or 'index', then rows
-- reply: OK, repairs
local repairs = 0
for i = 2, nargs do
  local r = args(i)
  local id = rowid(r)
  local j = id and get(id)
  if args(1) == 'queue' then
    if not j or j.st ~= 'pending' or row(id, j) ~= r then
      repairs = repairs + call('ZREM', K.queue, r)
      dirty[string.match(r, '^[^\n]*')] = true
    end
  elseif string.sub(r, 1, 2) == 'w\n' and (not j or worksheet(id, j) ~= r) then
    repairs = repairs + call('ZREM', K.index, r)
  end
end
touchall()
if repairs > 0 then journal('repaired', args(1), 'n', int(repairs)) end
return {'OK', int(repairs)}
