-- Takes a place for an app in its account, if one is left.
--
-- KEYS[1]  the account, a hash: app -> pending or live
-- ARGV     app, places
-- Returns 1 when the app has a place now, 0 when none is left.

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  return 1
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], 'pending')
return 1
