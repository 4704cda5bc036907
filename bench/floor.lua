-- The least that judging and counting takes in Redis: for each check two counters
-- in hash buckets, read, judged by a limit and raised, both or none.
--
-- KEYS     two for each check: the buckets
-- ARGV[1]  the limit of all counters, inclusive
-- ARGV[i]  two for each check: the fields
--
-- Returns for each check whether it was allowed (0, 1) and both counters after it.
local limit = tonumber(ARGV[1])
local reply = {}
for i = 1, #KEYS, 2 do
	local a = tonumber(redis.call('HGET', KEYS[i], ARGV[i + 1])) or 0
	local b = tonumber(redis.call('HGET', KEYS[i + 1], ARGV[i + 2])) or 0
	local allowed = 0
	if a + 1 <= limit and b + 1 <= limit then
		a = redis.call('HINCRBY', KEYS[i], ARGV[i + 1], 1)
		b = redis.call('HINCRBY', KEYS[i + 1], ARGV[i + 2], 1)
		allowed = 1
	end
	reply[#reply + 1] = allowed
	reply[#reply + 1] = a
	reply[#reply + 1] = b
end
return reply
