-- Begins a change of a record; clock.lua comes first.
--
-- KEYS[1]  a key on the record's server
-- Returns the server's run id and its time, in Unix milliseconds.

return {clock()}
