-- Judges and writes transactions of one app, in order, each all or nothing.
-- The contract is quota.Store; this is its steps 1 to 6, inside Redis.
--
-- KEYS[1]  the app's header, a hash: v epoch.revision, c clock, s sequence,
--          h the latest end of a hold, if there is any
-- KEYS[i]  every other key, named by its index i in ARGV; 0 names none
--            request generations  hash: 16-byte id -> 8-byte fingerprint
--            users                hash: user -> last active month; -1 never
--                                 active; -2-month not known, was active then
--            groups               hash: group -> type letter, day, ".", members;
--                                 or "-", day of dissolution
--            gateways             hash: "g", gateway -> users, " ", end of lease;
--                                 e -> end of the month of the last report
--            reservation          hash: id -> "p", "c" or "x", fingerprint, end,
--            generations          " ", plan: placed, committed or cancelled
--            held                 hash: "s", of -> sum; "p", reservation -> parts
--            ends                 sorted set: reservation -> end of its hold
--            peaks                hash: first instant of a month -> users online
--            counters             hash: quota or subject -> count
--
-- ARGV     all numbers are decimal integers; times are Unix milliseconds
--   version, the earliest that this server's clock may show for the caller's
--   to be believed (0: whatever it shows), now, the end of the generation of
--   request ids (0 without any), key of what is held, key of the ends (0, 0:
--   not given), transactions, then for each transaction:
--   mode          0 judge, 1 consume, 2 force, 3 reserve
--   windowEnd     0: depends on no window
--   id            "" or the 16 bytes; if not "": key of this generation, key
--                 of the one before, fingerprint, time to live
--   userOp        0 none, 1 register, 2 login, 3 delete, 4 active; if not 0:
--                 month, users, then for each: key, user; if 3: counters to
--                 drop, then for each: key, field
--   groupOp       0 none, 1 read, 2 create, 3 touch, 4 leave, 5 dissolve; if
--                 not 0: key, group, type letter or "", day
--   onlineOp      0 none, 1 read, 2 report; if not 0: key of the gateways, key
--                 of the peaks, for how long peaks are kept, gateway, users,
--                 lease, end of the running month, months, then for each: its
--                 first instant
--   holdOp        0 none, 1 place, 2 read, 3 commit, 4 cancel; if not 0: key of
--                 this generation, key of the one before, id, fingerprint, for
--                 how long, plan, late (0, 1), time to live
--   charges, then for each:
--     delta, basis (0 once, 1 per new user, 2 per newly active, 3 per gone
--     user, 4 the new value), limit ("" none), signed (0, 1), members (0, 1),
--     types ("" any), same day (0, 1), time to live (0 for ever), counters,
--     then for each counter: key, field
--
-- The keys of what is held are asked for when there is any: {16, end of the last
-- hold}. In a Cluster a script with a key that is not there has to wait until its
-- slot has moved, and most apps hold nothing.
--
-- Returns {0, clock, sequence, one reply for each transaction} or
-- {1} when the app's record has another version, {7, text} when its header is
-- damaged, {8, clock} when the app's clock has reached another generation of
-- request ids than the keys are of, {10, this server's clock} when the caller's
-- is too far ahead of it: an app's clock never runs backwards, so that one such
-- call would take the app to windows that have not begun, for good. A reply is
--   {0, applied, replayed, found, type, day, members, held (0, 1), then for each
--    charge: delta, counters, their values before, and if held is 1 what is held
--    of each; then, if onlineOp is not 0: users online, gateways, end of the
--    lease (0 none), the peak of each month; then, if holdOp is not 0: 0 none, 1
--    placed, 2 committed, 3 cancelled, end, plan}
--   {code, text}: 2 a window is over, 3 the id was used for another request,
--   4 the group exists, 5 the group is of another type, 6 a counter would leave
--   the exact integers, 7 a stored value is not what it should be, 9 it broke
--   off after a write, which nothing is known to cause, 11 there are as many
--   gateways as may be, 12 there is no such reservation, 13 it was committed, 14
--   it was cancelled, 15 the caller is wrong about whether its hold has ended
--
-- Numbers are doubles here, exact up to 2^53-1; a number is written with %.0f,
-- because tostring rounds above 10^14. Reads of a transaction come before its
-- first write, under pcall: what is wrong with one leaves the others alone.
--
-- To debug: redis-cli --ldb --eval apply.lua KEYS... , ARGV...

local EXACT = 9007199254740991
local NO_DAY = '-2147483648'

local cursor = 0
local function take()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function number()
  cursor = cursor + 1
  return tonumber(ARGV[cursor])
end

local header = redis.pcall('HMGET', KEYS[1], 'v', 'c', 's', 'h')
if header.err and not string.find(header.err, '^WRONGTYPE') then
  return redis.error_reply('NOPERM ' .. header.err)
elseif header.err then
  return {7, KEYS[1] .. ': ' .. header.err}
end
if header[1] ~= take() then
  return {1}
end
local clock, sequence, holdsEnd = tonumber(header[2] or 0), tonumber(header[3] or 0), tonumber(header[4] or 0)
if not clock or not sequence or not holdsEnd then
  return {7, KEYS[1] .. ': its clock, its sequence or the end of its holds is not a number'}
end
local earliest = number()
if earliest ~= 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if now < earliest then
    return {10, now}
  end
end
local kept = clock -- it becomes the later one when something is written
clock = math.max(clock, number())
local generationEnd = number()
if generationEnd ~= 0 and clock >= generationEnd then
  return {8, clock}
end

local function text(n)
  return string.format('%.0f', n)
end

-- read returns a hash field's value, or raises a problem for its transaction.
local function read(key, field)
  local value = redis.pcall('HGET', KEYS[key], field)
  if type(value) == 'table' then
    error({7, KEYS[key] .. ': ' .. (value.err or 'unreadable')}, 0)
  end
  return value
end

local function corrupt(key, field)
  error({7, KEYS[key] .. ' field ' .. field .. ': not a count'}, 0)
end

-- count returns a counter; one that does not exist is zero.
local function count(key, field)
  local value = read(key, field)
  if not value then
    return 0
  end
  local n = string.match(value, '^%-?%d+$') and tonumber(value)
  if not n or n > EXACT or n < -EXACT then
    corrupt(key, field)
  end
  return n
end

-- Everything that writes goes through change, which counts the commands: a
-- transaction that applies and finds nothing to change leaves the header too.
local writes = 0
local function change(command, key, ...)
  redis.call(command, KEYS[key], ...)
  writes = writes + 1
end

-- What is held. An app without a hold that has not ended, as most are, pays for
-- none of this.
local HELD, ENDS = number(), number()
local PLACED, COMMITTED, CANCELLED = 1, 2, 3
local holds = holdsEnd > clock
if holds and HELD == 0 then
  return {16, holdsEnd}
end

-- partsOf returns what a reservation holds: a list of what of, how much.
local function partsOf(id)
  local packed = read(HELD, 'p' .. id)
  if not packed then
    return {}
  end
  local ok, parts = pcall(cmsgpack.unpack, packed)
  if not ok or type(parts) ~= 'table' then
    error({7, KEYS[HELD] .. ': the parts of a reservation are damaged'}, 0)
  end
  return parts
end

-- ended is what those still hold whose end is past and who are not settled.
local ended = {}

local function sumOf(of)
  return holds and count(HELD, 's' .. of) or 0
end

local function heldOf(of)
  return sumOf(of) - (ended[of] or 0)
end

-- free gives back what a reservation holds. It reads before it writes.
local function free(id, parts)
  local sums = {}
  for i = 1, #parts, 2 do
    sums[i] = sumOf(parts[i]) - parts[i + 1]
  end
  for i = 1, #parts, 2 do
    if sums[i] > 0 then
      redis.call('HSET', KEYS[HELD], 's' .. parts[i], text(sums[i]))
    else
      redis.call('HDEL', KEYS[HELD], 's' .. parts[i])
    end
  end
  redis.call('HDEL', KEYS[HELD], 'p' .. id)
  redis.call('ZREM', KEYS[ENDS], id)
end

-- settle takes off what holds that have ended still hold. Some of it, ended by the
-- clock that is kept, is freed for good; the rest is only known to have ended. By a
-- caller's clock that this step may not keep nothing is freed: the next step may be
-- of one whose clock is behind, for whom the hold goes on.
local SETTLED_PARTS = 20000
local function settle()
  local due = redis.pcall('ZRANGEBYSCORE', KEYS[ENDS], '-inf', text(clock), 'WITHSCORES')
  if due.err then
    error({7, KEYS[ENDS] .. ': ' .. due.err}, 0)
  end
  local settled = 0
  for i = 1, #due, 2 do
    local parts = partsOf(due[i])
    if tonumber(due[i + 1]) <= kept and settled < SETTLED_PARTS then
      free(due[i], parts)
      settled = settled + #parts + 1
    else
      for k = 1, #parts, 2 do
        ended[parts[k]] = (ended[parts[k]] or 0) + parts[k + 1]
      end
    end
  end
end

-- problem is a reply that says what was raised: by this script, or by Redis.
local function problem(raised)
  if type(raised) == 'table' and not raised.err then
    return raised
  end
  return {7, type(raised) == 'table' and raised.err or tostring(raised)}
end

if holds then
  local ok, raised = pcall(settle)
  if not ok then
    return problem(raised)
  end
end

-- parse reads a transaction from ARGV, so that the next one begins where it
-- should even if this one fails.
local function parse()
  local t = {mode = number(), window = number(), id = take()}
  if t.id ~= '' then
    t.young, t.old, t.fingerprint, t.ttl = number(), number(), take(), take()
  end
  t.userOp = number()
  if t.userOp ~= 0 then
    t.month = number()
    local n = number()
    t.users = {cursor + 1, n}
    cursor = cursor + 2 * n
    if t.userOp == 3 then
      n = number()
      t.drops = {cursor + 1, n}
      cursor = cursor + 2 * n
    end
  end
  t.groupOp = number()
  if t.groupOp ~= 0 then
    t.groupKey, t.group, t.type, t.day = number(), take(), take(), take()
  end
  t.onlineOp = number()
  if t.onlineOp ~= 0 then
    t.gateways, t.peaks, t.peaksKept, t.gateway = number(), number(), number(), 'g' .. take()
    t.reported, t.lease, t.monthEnd = number(), number(), number()
    t.months = {}
    for i = 1, number() do
      t.months[i] = take()
    end
  end
  t.holdOp = number()
  if t.holdOp ~= 0 then
    t.holdKey, t.holdOld, t.hold, t.holdPrint = number(), number(), take(), take()
    t.holdFor, t.plan, t.late, t.holdTTL = number(), take(), take() == '1', take()
  end
  t.charges = {}
  for i = 1, number() do
    local c = {
      delta = number(), basis = number(), limit = take(), signed = take() == '1', members = take() == '1',
      types = take(), sameDay = take() == '1', ttl = take()
    }
    local n = number()
    c.at, c.n = cursor + 1, n
    cursor = cursor + 2 * n
    t.charges[i] = c
  end
  return t
end

-- remembered looks the request up.
local function remembered(t)
  local fingerprint = read(t.young, t.id)
  if not fingerprint and t.old ~= 0 then
    fingerprint = read(t.old, t.id)
  end
  if fingerprint and fingerprint ~= t.fingerprint then
    error({3, ''}, 0)
  end
  return fingerprint and true or false
end

-- reservation finds the reservation that a step is about.
local function reservation(t)
  t.holdState, t.holdEnd, t.own = 0, 0, {}
  if t.holdOp == 0 then
    return
  end
  local value = read(t.holdKey, t.hold)
  if not value then
    value = read(t.holdOld, t.hold)
    if value then
      t.holdKey = t.holdOld
    end
  end
  if not value then
    if t.holdOp ~= 1 then
      error({12, ''}, 0)
    end
    return
  end
  local state, fingerprint = string.sub(value, 1, 1), string.sub(value, 2, 9)
  local ends, plan = string.match(string.sub(value, 10), '^(%d+) (.*)$')
  t.holdState = state == 'p' and PLACED or state == 'c' and COMMITTED or state == 'x' and CANCELLED
  if not ends or not t.holdState then
    error({7, KEYS[t.holdKey] .. ': a reservation is damaged'}, 0)
  end
  t.holdEnd = tonumber(ends)
  if t.holdOp == 1 then
    if fingerprint ~= t.holdPrint then
      error({3, ''}, 0)
    end
    t.replayed = true
  elseif t.holdOp == 2 then
    t.holdPlan = plan
  elseif t.holdOp == 3 and t.holdState == COMMITTED or t.holdOp == 4 and t.holdState == CANCELLED then
    t.replayed = true
  elseif t.holdState ~= PLACED then
    error({t.holdState == COMMITTED and 13 or 14, ''}, 0)
  elseif t.holdOp == 3 and t.late ~= (t.holdEnd <= clock) then
    error({15, ''}, 0)
  else
    t.holdPrint = fingerprint
    if t.holdEnd > clock then
      t.parts = partsOf(t.hold)
      for i = 1, #t.parts, 2 do
        t.own[t.parts[i]] = t.parts[i + 1]
      end
    end
  end
end

-- heldByOthers is what is held of something, without what the reservation holds
-- that the step is about to end.
local function heldByOthers(t, of)
  return heldOf(of) - (t.own[of] or 0)
end

-- What a part of a reservation is of. Ids may hold any byte: the kind comes first
-- and the id last, and no name of a key holds a zero.
local function ofGroupID(t)
  return 'i' .. KEYS[t.groupKey] .. '\0' .. t.group
end

local function ofMembers(t)
  return 'm' .. KEYS[t.groupKey] .. '\0' .. t.group
end

local function ofCounter(key, field)
  return 'c' .. KEYS[key] .. '\0' .. field
end

-- sweep drops, with the transaction's own drops, what is over among some fields
-- of a bucket.
local SWEPT_BUCKETS, SWEPT_FIELDS = 8, 64
local function sweep(t, key, isOver)
  local fields = redis.call('HRANDFIELD', KEYS[key], SWEPT_FIELDS, 'WITHVALUES')
  for i = 1, #fields, 2 do
    if isOver(fields[i + 1]) then
      t.dropWrites[#t.dropWrites + 1] = {key, fields[i]}
    end
  end
end

-- What a deleted user leaves behind matters in the month it names alone: then
-- the user who comes back is not counted again. A deletion sweeps what earlier
-- months left in its buckets, some fields of some buckets at a time, so that it
-- stays short whatever it finds.
local function outdated(t)
  local seen, buckets = {}, 0
  for _, w in ipairs(t.userWrites) do
    local key = w[1]
    if not seen[key] then
      seen[key], buckets = true, buckets + 1
      if buckets > SWEPT_BUCKETS then
        return
      end
      sweep(t, key, function(text)
        local value = string.match(text, '^%-%d+$') and tonumber(text)
        return value and value < -1 and -2 - value < t.month
      end)
    end
  end
end

-- users finds what becomes of each user: known, active, gone.
local function users(t)
  t.new, t.active, t.gone, t.userWrites, t.dropWrites = 0, 0, 0, {}, {}
  if t.userOp == 0 then
    return
  end
  local at, n = t.users[1], t.users[2]
  for i = at, at + 2 * n - 2, 2 do
    local key, user = tonumber(ARGV[i]), ARGV[i + 1]
    local value = read(key, user)
    local month = value and (string.match(value, '^%-?%d+$') and tonumber(value) or corrupt(key, user))
    local known = month and month >= -1
    local last = month and (known and month or -2 - month) or -1
    if t.userOp == 3 then
      if known then
        t.gone = t.gone + 1
        t.userWrites[#t.userWrites + 1] = {key, user, last >= t.month and -2 - last or nil}
      end
    else
      local becomes, enters = last, not known and t.userOp ~= 4
      if t.userOp ~= 1 and last < t.month then
        t.active = t.active + 1
        becomes = t.month
      end
      if enters then
        t.new = t.new + 1
      end
      if enters or becomes ~= last then
        t.userWrites[#t.userWrites + 1] = {key, user, (known or enters) and becomes or -2 - becomes}
      end
    end
  end
  if t.userOp == 3 then
    for i = t.drops[1], t.drops[1] + 2 * t.drops[2] - 2, 2 do
      local key, field = tonumber(ARGV[i]), ARGV[i + 1]
      if read(key, field) then
        t.dropWrites[#t.dropWrites + 1] = {key, field}
      end
    end
    if t.gone > 0 and t.mode ~= 0 then
      outdated(t)
    end
  end
end

-- A dissolved group leaves its day behind, so that a join that comes late does
-- not make it again on this day or the next. A dissolution sweeps what has
-- outlasted that, some fields of its bucket at a time.
local function goneOn(value)
  return tonumber(string.match(value, '^%-(%-?%d+)$'))
end

local function outlasted(t)
  sweep(t, t.groupKey, function(text)
    local gone = goneOn(text)
    return gone and gone + 1 < tonumber(t.day)
  end)
end

-- group reads the group's record and finds the one that charges are for.
local function group(t)
  t.found, t.exists, t.gType, t.gDay, t.gMembers = false, false, '', NO_DAY, 0
  if t.groupOp == 0 then
    return
  end
  local value = read(t.groupKey, t.group)
  local gone = value and goneOn(value)
  if value and not gone then
    local letter, day, members = string.match(value, '^(%l)(%-?%d+)%.(%d+)$')
    members = tonumber(members)
    if not letter or members > EXACT then
      corrupt(t.groupKey, t.group)
    end
    t.found, t.exists, t.gType, t.gDay, t.gMembers = true, true, letter, day, members
  end
  if t.replayed then
    return
  end
  if t.groupOp == 2 then
    if t.found and t.holdOp == 3 and t.gDay == NO_DAY and t.gType == t.type then
      t.dates, t.gDay = true, t.day
    elseif t.found or heldByOthers(t, ofGroupID(t)) > 0 then
      error({4, ''}, 0)
    end
  end
  if t.found and t.type ~= '' and t.type ~= t.gType then
    error({5, t.gType}, 0)
  end
  local makes = t.groupOp == 2 or t.groupOp == 3 and not (gone and tonumber(t.day) <= gone + 1)
  if not t.found and makes then
    t.exists, t.gType = true, t.type
    if t.groupOp == 2 then
      t.gDay = t.day
    end
  end
  if t.groupOp == 5 and t.found and t.mode ~= 0 then
    outlasted(t)
  end
end

-- online adds up what gateways reported. The month of the last report may be
-- over since: then whoever had a lease when the next began was online in that.
local MAX_GATEWAYS = 1000
local function online(t)
  local stored = redis.pcall('HGETALL', KEYS[t.gateways])
  if stored.err then
    error({7, KEYS[t.gateways] .. ': ' .. stored.err}, 0)
  end
  for i = 1, #stored, 2 do
    if stored[i] == 'e' then
      local over = tonumber(stored[i + 1]) or corrupt(t.gateways, 'e')
      t.began = clock >= over and over or nil
    end
  end
  t.online, t.leases, t.atBegin, t.over, t.isKnown = 0, 0, 0, {}, false
  for i = 1, #stored, 2 do
    local field = stored[i]
    if field ~= 'e' then
      local users, ends = string.match(stored[i + 1], '^(%d+) (%d+)$')
      if not users then
        corrupt(t.gateways, field)
      end
      users, ends = tonumber(users), tonumber(ends)
      if t.began and ends > t.began then
        t.atBegin = t.atBegin + users
      end
      if t.onlineOp == 2 and field == t.gateway then
        t.isKnown = true
      elseif ends > clock then
        t.online, t.leases = t.online + users, t.leases + 1
      else
        t.over[#t.over + 1] = field
      end
    end
  end
  if t.onlineOp == 2 and t.reported > 0 then
    if t.leases >= MAX_GATEWAYS then
      error({11, ''}, 0)
    end
    t.online, t.leases = t.online + t.reported, t.leases + 1
  end
  if t.began then
    t.beganPeak = count(t.peaks, text(t.began))
  end
  t.monthPeaks = {}
  for i, month in ipairs(t.months) do
    local peak = count(t.peaks, month)
    if i == 1 then
      t.monthPeak = peak
      if t.onlineOp == 2 then
        peak = math.max(peak, t.online)
      end
    end
    if t.began and tonumber(month) == t.began then
      peak = math.max(peak, t.atBegin)
    end
    t.monthPeaks[i] = peak
  end
end

-- charge reads a charge's counters and returns whether it fits its limit.
local function charge(t, c)
  c.used, c.applies = {}, true
  if c.members and not t.exists then
    c.applies = false
  elseif c.types ~= '' and not (t.exists and string.find(c.types, t.gType, 1, true)) then
    c.applies = false
  elseif c.sameDay and not (t.exists and t.gDay == t.day) then
    c.applies = false
  end
  local delta = c.delta
  if c.basis == 1 then
    delta = delta * t.new
  elseif c.basis == 2 then
    delta = delta * t.active
  elseif c.basis == 3 then
    delta = delta * t.gone
  end
  if not c.applies then
    c.change = 0
    return true
  end
  local held = holds or t.mode == 3
  c.of, c.held = {}, {}
  if c.members then
    c.used[1] = t.gMembers
    if held then
      c.of[1] = ofMembers(t)
    end
  else
    for i = c.at, c.at + 2 * c.n - 2, 2 do
      local key, field = tonumber(ARGV[i]), ARGV[i + 1]
      c.used[#c.used + 1] = count(key, field)
      if held then
        c.of[#c.of + 1] = ofCounter(key, field)
      end
    end
  end
  for i, of in ipairs(c.of) do
    c.held[i] = heldByOthers(t, of)
    t.isHeld = t.isHeld or c.held[i] ~= 0
  end
  if c.basis == 4 then
    delta = c.delta - c.used[1]
  end
  if t.replayed then
    delta = 0
  end
  c.change = delta
  local limit, fits = c.limit ~= '' and tonumber(c.limit) or nil, true
  for i, used in ipairs(c.used) do
    used = used + (c.held[i] or 0)
    if delta > 0 and limit and used + delta > limit then
      fits = false
    end
    if used + delta > EXACT or used + delta < -EXACT then
      t.overflow = true
    end
  end
  return fits
end

-- bump adds to a counter; one that becomes zero is removed.
local function bump(c, key, field, used)
  local after = used + c.change
  if after < 0 and not c.signed then
    after = 0
  end
  if after == used then
    return
  end
  if after == 0 then
    change('HDEL', key, field)
  else
    change('HSET', key, field, text(after))
    if c.ttl ~= '0' then
      change('PEXPIRE', key, c.ttl)
    end
  end
end

-- peak notes the peak of a month, and forgets those of months long past.
local function peak(t, month, users, before)
  if users <= before then
    return
  end
  change('HSET', t.peaks, month, text(users))
  if before == 0 then
    for _, field in ipairs(redis.call('HKEYS', KEYS[t.peaks])) do
      if tonumber(field) + t.peaksKept < clock then
        change('HDEL', t.peaks, field)
      end
    end
  end
end

-- report notes a gateway's report.
local function report(t)
  for _, field in ipairs(t.over) do
    change('HDEL', t.gateways, field)
  end
  if t.reported > 0 then
    change('HSET', t.gateways, t.gateway, text(t.reported) .. ' ' .. text(clock + t.lease))
  elseif t.isKnown then
    change('HDEL', t.gateways, t.gateway)
  end
  change('HSET', t.gateways, 'e', text(t.monthEnd))
  if t.began and text(t.began) ~= t.months[1] then
    peak(t, text(t.began), t.atBegin, t.beganPeak)
  end
  peak(t, t.months[1], t.monthPeaks[1], t.monthPeak)
end

local function noteRequest(t)
  if t.id ~= '' then
    change('HSET', t.young, t.id, t.fingerprint)
    change('PEXPIRE', t.young, t.ttl)
  end
end

-- place makes a reservation of all that the charges would add.
local function place(t)
  if not holds then
    redis.call('UNLINK', KEYS[HELD], KEYS[ENDS]) -- of holds that have all ended
  end
  local parts = {}
  local function hold(of, more)
    parts[#parts + 1], parts[#parts + 2] = of, more
    change('HSET', HELD, 's' .. of, text(sumOf(of) + more))
  end
  for _, c in ipairs(t.charges) do
    if c.applies and c.change > 0 then
      for i, of in ipairs(c.of) do
        hold(of, c.change)
        c.held[i], t.isHeld = c.held[i] + c.change, true
      end
    end
  end
  if t.groupOp == 2 then
    hold(ofGroupID(t), 1)
  end
  t.holdState, t.holdEnd = PLACED, clock + t.holdFor
  change('HSET', HELD, 'p' .. t.hold, cmsgpack.pack(parts))
  change('ZADD', ENDS, text(t.holdEnd), t.hold)
  change('PEXPIRE', HELD, t.holdTTL)
  change('PEXPIRE', ENDS, t.holdTTL)
  change('HSET', t.holdKey, t.hold, 'p' .. t.holdPrint .. text(t.holdEnd) .. ' ' .. t.plan)
  change('PEXPIRE', t.holdKey, t.holdTTL)
  holdsEnd, holds = math.max(holds and holdsEnd or 0, t.holdEnd), true
  noteRequest(t)
end

-- endHold commits or cancels a reservation, of which nothing is held any more.
local function endHold(t)
  if t.parts then
    free(t.hold, t.parts)
  end
  local letter = t.holdOp == 3 and 'c' or 'x'
  t.holdState = t.holdOp == 3 and COMMITTED or CANCELLED
  change('HSET', t.holdKey, t.hold, letter .. t.holdPrint .. text(t.holdEnd) .. ' ')
end

-- write carries the transaction out. Nothing in it can fail any more.
local function write(t)
  if t.mode == 3 then
    place(t)
    return
  end
  if t.holdOp > 2 then
    endHold(t)
  end
  for _, w in ipairs(t.userWrites) do
    if w[3] then
      change('HSET', w[1], w[2], text(w[3]))
    else
      change('HDEL', w[1], w[2])
    end
  end
  for _, d in ipairs(t.dropWrites) do
    change('HDEL', d[1], d[2])
  end
  local members = t.gMembers
  for _, c in ipairs(t.charges) do
    if c.applies then
      if c.members then
        members = math.max(0, members + c.change)
      else
        for i = 1, c.n do
          bump(c, tonumber(ARGV[c.at + 2 * i - 2]), ARGV[c.at + 2 * i - 1], c.used[i])
        end
      end
    end
  end
  if t.groupOp == 5 then
    if t.found then
      change('HSET', t.groupKey, t.group, '-' .. t.day)
    end
  elseif t.groupOp > 1 and t.exists and (not t.found or t.dates or members ~= t.gMembers) then
    change('HSET', t.groupKey, t.group, t.gType .. t.gDay .. '.' .. text(members))
  end
  if t.onlineOp == 2 then
    report(t)
  end
  noteRequest(t)
end

-- run judges one transaction and writes it, and returns its reply.
local function run(t)
  if t.window ~= 0 and clock >= t.window then
    error({2, ''}, 0)
  end
  t.replayed = t.id ~= '' and remembered(t)
  reservation(t)
  if t.replayed then
    t.new, t.active, t.gone = 0, 0, 0
  else
    users(t)
  end
  group(t)
  if t.onlineOp ~= 0 then
    online(t)
  end
  local fits = true
  for _, c in ipairs(t.charges) do
    fits = charge(t, c) and fits
  end
  local applies = not t.replayed and (t.mode == 2 or (t.mode == 1 or t.mode == 3) and fits)
  if applies then
    if t.overflow then
      error({6, ''}, 0)
    end
    local before = writes
    write(t)
    if writes > before then
      sequence = sequence + 1
    end
  end
  local reply = {
    0, applies and 1 or 0, t.replayed and 1 or 0,
    t.found and 1 or 0, t.found and t.gType or '', t.found and tonumber(t.dates and NO_DAY or t.gDay) or 0, t.found and t.gMembers or 0, t.isHeld and 1 or 0
  }
  local at = #reply
  for _, c in ipairs(t.charges) do
    reply[at + 1], reply[at + 2] = c.change, #c.used
    at = at + 2
    for _, used in ipairs(c.used) do
      at = at + 1
      reply[at] = used
    end
    for i = 1, t.isHeld and #c.used or 0 do
      at = at + 1
      reply[at] = c.held[i] or 0
    end
  end
  if t.onlineOp ~= 0 then
    local ends = t.onlineOp == 2 and t.reported > 0 and clock + t.lease or 0
    reply[at + 1], reply[at + 2], reply[at + 3] = t.online, t.leases, ends
    for i, users in ipairs(t.monthPeaks) do
      reply[at + 3 + i] = users
    end
    at = at + 3 + #t.monthPeaks
  end
  if t.holdOp ~= 0 then
    reply[at + 1], reply[at + 2], reply[at + 3] = t.holdState, t.holdEnd, t.holdPlan or ''
  end
  return reply
end

local replies, before = {0, 0, 0}, sequence
for i = 1, number() do
  local t, already = parse(), writes
  local ok, reply = pcall(run, t)
  if not ok then
    reply = problem(reply)
    if writes > already then
      reply[1], sequence = 9, sequence + 1
    end
  end
  replies[i + 3] = reply
end
if sequence ~= before then
  redis.call('HSET', KEYS[1], 'c', text(clock), 's', text(sequence))
  if holds then
    redis.call('HSET', KEYS[1], 'h', text(holdsEnd))
  elseif holdsEnd ~= 0 and HELD ~= 0 then
    redis.call('HDEL', KEYS[1], 'h')
    redis.call('UNLINK', KEYS[HELD], KEYS[ENDS])
  end
end
replies[2], replies[3] = clock, sequence
return replies
