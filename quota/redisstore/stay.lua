-- Undoes leave.lua, if nobody else deletes the app.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     app, the token of this deletion
-- Returns 1 when the place is live again, else 0.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= 'leaving ' .. ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], 'live')
return 1
