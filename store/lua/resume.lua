#!lua flags=allow-oom
-- resume: the lane may be claimed again.
-- keys: epoch journal jobs queue lanes ready leases paused forks
-- args: 1 lane  2 who
-- reply: OK
call('HDEL', K.paused, args(1))
touch(args(1))
journal('resumed', args(1), 'by', args(2))
return {'OK'}
