-- Replaces an app's record, if nobody else has meanwhile.
--
-- KEYS[1]  the header
-- ARGV     epoch.revision expected, epoch.revision new, record
-- Returns 1 when it was replaced, 0 when it has another version, -1 when there
-- is no such app.

local version = redis.call('HGET', KEYS[1], 'v')
if not version then
  return -1
end
if version ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3])
redis.call('HINCRBY', KEYS[1], 's', 1)
return 1
