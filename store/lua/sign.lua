#!lua
-- sign: keep one signer's signature of a batch that is still up for them. Who may
-- sign is the caller's to say; whether it is a signature is its reader's.
-- keys: epoch journal proposals signatures
-- args: 1 chain  2 digest  3 signer  4 signature
-- reply: OK | GONE
local name = args(1) .. '\n' .. args(2)
if call('HEXISTS', K.proposals, name) == 0 then return {'GONE'} end
if call('HGET', K.signatures, name .. '\n' .. args(3)) == args(4) then return {'OK'} end
call('HSET', K.signatures, name .. '\n' .. args(3), args(4))
journal('signed', args(2), 'to', args(1), 'by', args(3))
return {'OK'}
