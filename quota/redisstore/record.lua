-- Reads an app's header and record at one moment.
--
-- KEYS[1]  the header
-- KEYS[2]  the record
-- Returns {{v, u and c of the header}, {the record}}; what is not there is nil.

return {redis.call('HMGET', KEYS[1], 'v', 'u', 'c'), redis.call('MGET', KEYS[2])}
