-- Takes a lease, or renews it.
--
-- KEYS[1]  the lease: who has it
-- ARGV     who asks, for how many milliseconds
-- Returns 1 when it is the caller's now, 0 when another has it.

local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
