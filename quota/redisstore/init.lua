-- Marks an empty database as imquota's.
--
-- KEYS[1]  the mark, a hash: id, format
-- ARGV     id, format
-- Returns the id and the format that are there now.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'format', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'id', 'format')
