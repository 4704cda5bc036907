-- Gives a pending place back, if nothing has become of it since it was read.
--
-- KEYS[1]  the account, a hash: app -> live, or pending TOKEN SECONDS
-- ARGV     app, pending TOKEN SECONDS as it was read
-- Returns 1 when the place was given back, else 0.

if ARGV[2] == 'live' or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
