#!lua flags=allow-oom
-- audit_offers: a fact of a shared key that nobody has taken is on offer.
-- keys: epoch journal plans jobs ledger queue lanes ready leases paused bind index waits offers offered evidence forks
-- args: ids of facts
-- reply: OK, repairs
local repairs = 0
for i = 1, nargs do
  local raw = string.match(call('HGET', K.offered, args(i)) or '', '^\n(.*)$')
  if raw then
    local f = cjson.decode(raw)
    if f.chain ~= '' then repairs = repairs + call('ZADD', K.evidence, 0, fromwhere(f)) end
    repairs = repairs + call('ZADD', K.offers, 0, f.key .. '\n' .. f.pos .. '\n' .. f.id)
    shared[f.key] = true
  end
end
dealall()
touchall()
if repairs > 0 then journal('repaired', 'offers', 'n', int(repairs)) end
return {'OK', int(repairs)}
