-- Gives a place back that belongs to no app, if nothing has become of it since it
-- was read.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     app, what the account said of it
-- Returns 1 when the place was given back, else 0.

if ARGV[2] == 'live' or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
