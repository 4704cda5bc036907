-- Marks a database as imquota's, in two calls: without an id the mark is
-- pending, which counts as none; the directories are marked in between.
--
-- KEYS[1]  the mark, a hash: format, id
-- ARGV     format, id or ""
-- Returns the id, nil while it is pending, and the format that are there now.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1])
end
if ARGV[2] ~= '' then
  redis.call('HSETNX', KEYS[1], 'id', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'id', 'format')
