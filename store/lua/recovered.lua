#!lua flags=allow-oom
-- recovered: the journal agrees with the chains again, or an operator answers for
-- it: leases and nonces are given out from now on. Only the loss that the caller
-- has looked into ends, whoever comes first.
-- keys: epoch journal recovering
-- args: 1 token of the loss  2 who  3 why
-- reply: OK | GONE | OTHER, token
local text = call('GET', K.recovering)
if not text then return {'GONE'} end
local token = cjson.decode(text).token
if token ~= args(1) then return {'OTHER', token} end
call('DEL', K.recovering)
journal('recovered', '', 'by', args(2), 'why', args(3))
return {'OK'}
