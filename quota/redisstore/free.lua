-- Gives the place of a deleted app back, whatever the account says of it, and
-- remembers that the app was in the account.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- KEYS[2]  the account's deleted apps, a hash: app -> seconds
-- ARGV     app
-- Returns 1 when the place was given back, 0 when it had been before.

redis.call('HSETNX', KEYS[2], ARGV[1], redis.call('TIME')[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
