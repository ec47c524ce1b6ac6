#!lua flags=allow-oom
-- pause: nobody claims the lane from now on; a running lease ends as usual.
-- keys: epoch journal ready paused
-- args: 1 lane  2 who
-- reply: OK
call('HSET', K.paused, args(1), int(now) .. ' ' .. args(2))
call('ZREM', K.ready, args(1))
journal('paused', args(1), 'by', args(2))
return {'OK'}
