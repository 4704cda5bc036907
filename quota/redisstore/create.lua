-- Makes an app's header and record, unless there is one.
--
-- KEYS[1]  the header
-- ARGV     epoch.revision, record
-- Returns 1 when it was made, 0 when the app exists.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'c', 0, 's', 0, 'r', ARGV[2])
return 1
