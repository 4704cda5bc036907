-- Judges and writes transactions of apps, in order, each all or nothing. The
-- contract is quota.Store; this is its steps 1 to 6, inside Redis.
--
-- KEYS[i]  every key, named by its number in ARGV; 0 names none
--            header               hash, the first key of each app: v
--                                 epoch.revision, c clock, s sequence, h the
--                                 latest end of a hold, if there is any
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
-- ARGV[1]  one MessagePack array; times are Unix milliseconds, flags 0 or 1
--   for how long request ids are kept once their generation is over, and
--   reservations once they are written; apps, then for each:
--   key of the header, version, the earliest that this server's clock may show
--   for the caller's to be believed (0: whatever it shows), now, the end of the
--   generation of request ids (0 without any), key of what is held, key of the
--   ends (0, 0: not given), parcels, elements of all parcels, then for each
--   parcel:
--   what its numbers of keys begin after, transactions, then for each of those:
--   elements      that follow this one; below zero if it has the shape of the last
--                 one where it is above, and it is left out. Transactions that only
--                 add and logins have one: all but what says of which users
--   mode          0 judge, 1 consume, 2 force, 3 reserve
--   windowEnd     0: depends on no window
--   charges
--   steps         sum of: 1 request, 2 hold, 4 users, 8 group, 16 online; 32 if it
--                 only adds: its mode is 1 or 2, windowEnd 0, no step but request
--                 there, each charge of kind 1 and its delta above zero; 64 if it
--                 is one user's login: its mode is 1, no other step there, each
--                 charge of kind 3, of the app as a whole, with basis 1 or 2;
--                 then, of those that are there, in this order:
--     request     id, key of this generation, key of the one before,
--                 fingerprint
--     hold        1 place, 2 read, 3 commit, 4 cancel; key of this generation,
--                 key of the one before, id, fingerprint, for how long, plan,
--                 late
--     users       1 register, 2 login, 3 delete, 4 active; month, users, then
--                 for each: key, user; if 3: counters to drop, then for each:
--                 key, field
--     group       1 read, 2 create, 3 touch, 4 leave, 5 dissolve; key, group,
--                 type letter or "", day
--     online      1 read, 2 report; key of the gateways, key of the peaks, for
--                 how long peaks are kept, gateway, users, lease, end of the
--                 running month, months, then for each: its first instant
--   then for each charge:
--     delta, limit (false: none), kind, counters, then for each: key, field.
--     If it only adds, its shape comes first: these four of each charge, then the
--     request, then the counters of all charges. Of a login all but the key and the
--     user come first.
--     The kind is 0 for what is counted for ever and never below zero, in the
--     way that follows: 1 of each subject, 2 of the app as a whole. It is 3 for
--     all else, and counters is followed by: basis (0 once, 1 per new user, 2
--     per newly active, 3 per gone user, 4 the new value), signed, members,
--     types ("" any), same day, time to live (0 for ever), whole app
--
-- The keys of what is held are asked for when there is any: {16, end of the last
-- hold}. In a Cluster a script with a key that is not there has to wait until its
-- slot has moved, and most apps hold nothing.
--
-- Returns a MessagePack array that has, for each app: 0, clock, sequence, then for
-- each parcel: elements, then one reply for each transaction; or
--   1, 0 when the app's record has another version, 7, text when its header is
--   damaged, 8, clock when the app's clock has reached another generation of
--   request ids than the keys are of, 10, this server's clock when the caller's
--   is too far ahead of it: an app's clock never runs backwards, so that one such
--   call would take the app to windows that have not begun, for good; 17, text
--   when this server's user may not do what it takes. A reply is
--   sum of: 1 applied, 2 replayed, 4 found, 8 held; if found: type, day, members;
--   then for each charge, if its kind is 3: counters, and if there are any and
--   its basis is not 0: delta; their values before; if held: what is held of
--   each; then of users online: users, gateways, end of the lease (0 none), the
--   peak of each month; then of a hold: 0 none, 1 placed, 2 committed, 3
--   cancelled, end, plan; or
--   -code, text: 2 a window is over, 3 the id was used for another request,
--   4 the group exists, 5 the group is of another type, 6 a counter would leave
--   the exact integers, 7 a stored value is not what it should be, 9 it broke
--   off after a write, which nothing is known to cause, 11 there are as many
--   gateways as may be, 12 there is no such reservation, 13 it was committed, 14
--   it was cancelled, 15 the caller is wrong about whether its hold has ended
--
-- Numbers are doubles here, exact up to 2^53-1. Redis writes them in full, for a
-- quarter of a microsecond each: those that most calls write are given as texts.
-- Where they become part of a text, text does, because .. rounds above 10^14. Of a
-- transaction that is judged, reads come before the first write, under pcall: what
-- is wrong with one leaves the others alone.
--
-- Most transactions only add to counters and are allowed, or are logins: those are
-- done by increase and login. All else is judged.
--
-- This is the text of a library and of a script: it defines apply(keys, args), which
-- either calls. Of a library the variables outlast a call.

-- globals returns what is looked up once. While a library is loaded there is nothing
-- of it yet.
local function globals()
  return redis.call, redis.pcall, type, tonumber, string.find, math.max
end

local call, try, type, tonumber, find, max -- of globals

-- Of the call at hand.
local KEYS, A, out, o
local given -- how many elements of A, once more are made
local time -- of this server, once it is needed

local writes = 0 -- commands, and changes of totals
local stamped, stamp -- a clock that was written, and its text

local EXACT = 9007199254740991
local ONLY_ADDS, WITH_REQUEST, LOGIN = 32, 33, 64 -- steps

-- Of the app at hand.
local clock, kept, sequence
local base, shapeBase -- what numbers of keys begin after: now, and when a shape was given
local idsEnd -- of the generation of request ids
local holds, holdsEnd, HELD, ENDS -- what is held, until when, by which keys
local ended -- what those still hold whose end is past and who are not settled
local totals, changed -- counters of the app as a whole, by key and field; a list

local function refuse(code, why)
  out[o + 1], out[o + 2] = code, why
  o = o + 2
end

-- lasting gives a bucket of request ids, after its first, its end.
local function lasting(bucket)
  if call('HLEN', bucket) == 1 then
    call('PEXPIRE', bucket, idsEnd + A[1] - clock)
  end
end

-- number returns what a stored value counts; nil if it is not a count.
local function number(value)
  local n = type(value) == 'string' and find(value, '^%-?%d+$') and tonumber(value)
  return n and n <= EXACT and n >= -EXACT and n or nil
end

-- total returns a counter of the app as a whole, which many transactions of one call
-- read and change: it is read once, and written once. It is nil if it is damaged.
local function total(key, field)
  totals = totals or {}
  local fields = totals[KEYS[key]]
  if not fields then
    fields = {}
    totals[KEYS[key]] = fields
  end
  local counter = fields[field]
  if not counter then
    local used = number(try('HGET', KEYS[key], field) or '0')
    if not used then
      return nil
    end
    counter = {key = key, field = field, used = used}
    fields[field] = counter
  end
  return counter
end

-- become has a total be written when all transactions are done.
local function become(counter, used, ttl)
  counter.used = used
  if not counter.ttl then
    changed = changed or {}
    changed[#changed + 1] = counter
  end
  counter.ttl = ttl
end

local function put(key, field, value, ttl)
  if value == 0 then
    call('HDEL', KEYS[key], field)
  else
    call('HSET', KEYS[key], field, value)
    if ttl ~= 0 then
      call('PEXPIRE', KEYS[key], ttl)
    end
  end
end

-- login carries out a login, given by its shape and what is its own, unless that is
-- not right: a user who was deleted, a limit, a value that is not a count. It reports
-- whether it was right; else nothing is changed and it is to be judged. Most users
-- were active this month before, and nothing is counted.
local function login(shape, at)
  local window, charges, month, bucket, user = A[shape + 1], A[shape + 2], A[shape + 5], KEYS[base + A[at]], A[at + 1]
  if clock >= window and window ~= 0 then
    return false
  end
  local new, active, value, text = 0, 0, try('HGET', bucket, user), month .. ''
  if not value then
    new, active = 1, 1
  elseif value ~= text then
    local seen = number(value)
    if not seen or seen < -1 or seen >= month then
      return false
    end
    active = 1
  end
  for i = shape + 7, shape + 13 * charges, 13 do
    local counter, d = total(shapeBase + A[i + 11], A[i + 12]), A[i] * (A[i + 4] == 1 and new or active)
    local after = counter and counter.used + d
    if not after or d < 0 or after < 0 or after > EXACT or d > 0 and A[i + 1] and after > A[i + 1] then
      return false
    end
  end
  if active == 1 then
    call('HSET', bucket, user, text)
    sequence = sequence + 1
  end
  out[o + 1] = 1
  o = o + 1
  for i = shape + 7, shape + 13 * charges, 13 do
    local counter, d = total(shapeBase + A[i + 11], A[i + 12]), A[i] * (A[i + 4] == 1 and new or active)
    out[o + 1], out[o + 2], out[o + 3] = 1, d, counter.used
    o = o + 3
    if d ~= 0 then
      become(counter, counter.used + d, A[i + 9])
    end
  end
  return true
end

local NO_DAY = -2147483648

local function text(n)
  return string.format('%.0f', n)
end

local function fail(code, why)
  error({code, why or ''}, 0)
end

-- read returns a hash field's value, or raises a problem for its transaction.
local function read(key, field)
  local value = try('HGET', KEYS[key], field)
  if type(value) == 'table' then
    fail(7, KEYS[key] .. ': ' .. (value.err or 'unreadable'))
  end
  return value
end

local function corrupt(key, field)
  fail(7, KEYS[key] .. ' field ' .. field .. ': not a count')
end

-- count returns a counter; one that does not exist is zero.
local function count(key, field)
  local value = try('HGET', KEYS[key], field)
  if not value then
    return 0
  elseif type(value) == 'table' then
    fail(7, KEYS[key] .. ': ' .. (value.err or 'unreadable'))
  end
  return number(value) or corrupt(key, field)
end

-- change writes, and counts the commands: a transaction that applies and finds
-- nothing to change leaves the header too.
local function change(command, key, ...)
  call(command, KEYS[key], ...)
  writes = writes + 1
end

-- What is held, of apps that have a hold that has not ended: most have none.
local PLACED, COMMITTED, CANCELLED = 1, 2, 3

-- partsOf returns what a reservation holds: a list of what of, how much.
local function partsOf(id)
  local packed = read(HELD, 'p' .. id)
  if not packed then
    return {}
  end
  local ok, parts = pcall(cmsgpack.unpack, packed)
  if not ok or type(parts) ~= 'table' then
    fail(7, KEYS[HELD] .. ': the parts of a reservation are damaged')
  end
  return parts
end

local function sumOf(of)
  return holds and count(HELD, 's' .. of) or 0
end

-- byOthers is what is held of something, without what the reservation holds
-- that the step is about to end.
local function byOthers(t, of)
  return sumOf(of) - (ended and ended[of] or 0) - (t.own and t.own[of] or 0)
end

-- free gives back what a reservation holds. It reads before it writes.
local function free(id, parts)
  local sums = {}
  for i = 1, #parts, 2 do
    sums[i] = sumOf(parts[i]) - parts[i + 1]
  end
  for i = 1, #parts, 2 do
    if sums[i] > 0 then
      call('HSET', KEYS[HELD], 's' .. parts[i], sums[i])
    else
      call('HDEL', KEYS[HELD], 's' .. parts[i])
    end
  end
  call('HDEL', KEYS[HELD], 'p' .. id)
  call('ZREM', KEYS[ENDS], id)
end

local SETTLED_PARTS = 20000

-- settle takes off what holds that have ended still hold. Some of it, ended by
-- the clock that is kept, is freed for good; the rest is only known to have
-- ended. By a caller's clock that this step may not keep nothing is freed: the
-- next step may be of one whose clock is behind, for whom the hold goes on.
local function settle()
  local due = try('ZRANGEBYSCORE', KEYS[ENDS], '-inf', clock, 'WITHSCORES')
  if due.err then
    fail(7, KEYS[ENDS] .. ': ' .. due.err)
  end
  ended = {}
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

-- find finds the reservation that a step is about, and returns whether the
-- step was taken before.
local function findHold(t)
  local h = t.hold
  local value = read(h.key, h.id)
  if not value then
    value = read(h.old, h.id)
    if value then
      h.key = h.old
    end
  end
  if not value then
    if h.op ~= 1 then
      fail(12)
    end
    return false
  end
  local state, fingerprint = string.sub(value, 1, 1), string.sub(value, 2, 9)
  local ends, plan = string.match(string.sub(value, 10), '^(%d+) (.*)$')
  h.state = state == 'p' and PLACED or state == 'c' and COMMITTED or state == 'x' and CANCELLED
  if not ends or not h.state then
    fail(7, KEYS[h.key] .. ': a reservation is damaged')
  end
  h.ends = tonumber(ends)
  if h.op == 1 then
    if fingerprint ~= h.print then
      fail(3)
    end
    return true
  elseif h.op == 2 then
    h.plan = plan
  elseif h.op == 3 and h.state == COMMITTED or h.op == 4 and h.state == CANCELLED then
    return true
  elseif h.state ~= PLACED then
    fail(h.state == COMMITTED and 13 or 14)
  elseif h.op == 3 and h.late ~= (h.ends <= clock) then
    fail(15)
  else
    h.print = fingerprint
    if h.ends > clock then
      h.parts = partsOf(h.id)
      t.own = {}
      for i = 1, #h.parts, 2 do
        t.own[h.parts[i]] = h.parts[i + 1]
      end
    end
  end
  return false
end

-- What a part of a reservation is of. Ids may hold any byte: the kind comes
-- first and the id last, and no name of a key holds a zero.
local function ofGroupID(g)
  return 'i' .. KEYS[g.key] .. '\0' .. g.id
end

local function ofMembers(g)
  return 'm' .. KEYS[g.key] .. '\0' .. g.id
end

local function ofCounter(key, field)
  return 'c' .. KEYS[key] .. '\0' .. field
end

-- begin makes room for a reservation.
local function beginHolding()
  if not holds then
    call('UNLINK', KEYS[HELD], KEYS[ENDS]) -- of holds that have all ended
  end
end

-- take adds a part to a reservation.
local function take(parts, of, more)
  parts[#parts + 1], parts[#parts + 2] = of, more
  change('HSET', HELD, 's' .. of, sumOf(of) + more)
end

-- place keeps a reservation of these parts.
local function placeHold(h, parts, ttl)
  h.state, h.ends = PLACED, clock + h.length
  change('HSET', HELD, 'p' .. h.id, cmsgpack.pack(parts))
  change('ZADD', ENDS, h.ends, h.id)
  change('PEXPIRE', HELD, ttl)
  change('PEXPIRE', ENDS, ttl)
  change('HSET', h.key, h.id, 'p' .. h.print .. text(h.ends) .. ' ' .. h.asked)
  change('PEXPIRE', h.key, ttl)
  holdsEnd, holds = max(holds and holdsEnd or 0, h.ends), true
end

-- finish commits or cancels a reservation, of which nothing is held any more.
local function finishHold(h)
  if h.parts then
    free(h.id, h.parts)
  end
  h.state = h.op == 3 and COMMITTED or CANCELLED
  change('HSET', h.key, h.id, (h.op == 3 and 'c' or 'x') .. h.print .. text(h.ends) .. ' ')
end

local SWEPT_BUCKETS, SWEPT_FIELDS = 8, 64

-- sweep drops, with the transaction's own drops, what is over among some fields of a
-- bucket.
local function sweep(drops, key, isOver)
  local fields = call('HRANDFIELD', KEYS[key], SWEPT_FIELDS, 'WITHVALUES')
  for i = 1, #fields, 2 do
    if isOver(fields[i + 1]) then
      drops[#drops + 1], drops[#drops + 2] = key, fields[i]
    end
  end
end

-- What a deleted user leaves behind matters in the month it names alone: then
-- the user who comes back is not counted again. A deletion sweeps what earlier
-- months left in its buckets, some fields of some buckets at a time, so that it
-- stays short whatever it finds.
local function sweepUsers(u)
  local seen, buckets = {}, 0
  for i = 1, #u.writes, 3 do
    local key = u.writes[i]
    if not seen[KEYS[key]] then
      seen[KEYS[key]], buckets = true, buckets + 1
      if buckets > SWEPT_BUCKETS then
        return
      end
      sweep(u.drops, key, function(value)
        value = string.match(value, '^%-%d+$') and tonumber(value)
        return value and value < -1 and -2 - value < u.month
      end)
    end
  end
end

-- A dissolved group leaves its day behind, so that a join that comes late does
-- not make it again on this day or the next. A dissolution sweeps what has
-- outlasted that, some fields of its bucket at a time.
local function sweepGroups(g)
  g.drops = {}
  sweep(g.drops, g.key, function(value)
    local gone = tonumber(string.match(value, '^%-(%-?%d+)$'))
    return gone and gone + 1 < g.day
  end)
end

-- users finds what becomes of each user: known, active, gone. It returns where the
-- step ends.
local function users(t, at, mode, replayed)
  local op, month, n = A[at], A[at + 1], A[at + 2]
  local last = at + 2 + 2 * n
  local u = {month = month, writes = {}, drops = {}}
  t.users = u
  local ends = op == 3 and last + 1 + 2 * A[last + 1] or last
  if replayed then
    return ends + 1
  end
  local new, active, gone, writes, w = 0, 0, 0, u.writes, 0
  for i = at + 3, last, 2 do
    local key, user = base + A[i], A[i + 1]
    local value = read(key, user)
    local stored = value and (find(value, '^%-?%d+$') and tonumber(value) or corrupt(key, user))
    local known = stored and stored >= -1
    local seen = stored and (known and stored or -2 - stored) or -1
    if op == 3 then
      if known then
        gone = gone + 1
        writes[w + 1], writes[w + 2], writes[w + 3] = key, user, seen >= month and -2 - seen or false
        w = w + 3
      end
    else
      local becomes, enters = seen, not known and op ~= 4
      if op ~= 1 and seen < month then
        active = active + 1
        becomes = month
      end
      if enters then
        new = new + 1
      end
      if enters or becomes ~= seen then
        writes[w + 1], writes[w + 2], writes[w + 3] = key, user, (known or enters) and becomes or -2 - becomes
        w = w + 3
      end
    end
  end
  if op == 3 then
    local drops = u.drops
    for i = last + 2, ends, 2 do
      local key, field = base + A[i], A[i + 1]
      if read(key, field) then
        drops[#drops + 1], drops[#drops + 2] = key, field
      end
    end
    if gone > 0 and mode ~= 0 then
      sweepUsers(u)
    end
  end
  t.new, t.active, t.gone = new, active, gone
  return ends + 1
end

-- group reads the group's record and finds the one that charges are for.
local function group(t, at, mode, replayed)
  local g = {op = A[at], key = base + A[at + 1], id = A[at + 2], type = A[at + 3], day = A[at + 4]}
  t.group = g
  t.found, t.exists, t.type, t.day, t.members = false, false, '', NO_DAY, 0
  local value = read(g.key, g.id)
  local gone = value and tonumber(string.match(value, '^%-(%-?%d+)$'))
  if value and not gone then
    local letter, day, members = string.match(value, '^(%l)(%-?%d+)%.(%d+)$')
    members = tonumber(members)
    if not letter or members > EXACT then
      corrupt(g.key, g.id)
    end
    t.found, t.exists, t.type, t.day, t.members = true, true, letter, tonumber(day), members
  end
  t.foundDay = t.day
  if replayed then
    return at + 5
  end
  if g.op == 2 then
    if t.found and t.hold and t.hold.op == 3 and t.day == NO_DAY and t.type == g.type then
      g.dates, t.day = true, g.day
    elseif t.found or holds and byOthers(t, ofGroupID(g)) > 0 then
      fail(4)
    end
  end
  if t.found and g.type ~= '' and g.type ~= t.type then
    fail(5, t.type)
  end
  local makes = g.op == 2 or g.op == 3 and not (gone and g.day <= gone + 1)
  if not t.found and makes then
    t.exists, t.type = true, g.type
    if g.op == 2 then
      t.day = g.day
    end
  end
  if g.op == 5 and t.found and mode ~= 0 then
    sweepGroups(g)
  end
  return at + 5
end

-- reporting adds up what gateways reported.
local MAX_GATEWAYS = 1000

-- The month of the last report may be over since: then whoever had a lease when
-- the next began was online in that.
local function readReport(t, at)
  local r = {
    op = A[at], gateways = base + A[at + 1], peaks = base + A[at + 2], peaksKept = A[at + 3], gateway = 'g' .. A[at + 4],
    reported = A[at + 5], lease = A[at + 6], monthEnd = A[at + 7], months = {}, monthPeaks = {},
    online = 0, leases = 0, atBegin = 0, over = {}, isKnown = false
  }
  t.online = r
  local months = A[at + 8]
  for i = 1, months do
    r.months[i] = text(A[at + 8 + i])
  end
  local stored = try('HGETALL', KEYS[r.gateways])
  if stored.err then
    fail(7, KEYS[r.gateways] .. ': ' .. stored.err)
  end
  for i = 1, #stored, 2 do
    if stored[i] == 'e' then
      local over = tonumber(stored[i + 1]) or corrupt(r.gateways, 'e')
      r.began = clock >= over and over or nil
    end
  end
  for i = 1, #stored, 2 do
    local field = stored[i]
    if field ~= 'e' then
      local users, ends = string.match(stored[i + 1], '^(%d+) (%d+)$')
      if not users then
        corrupt(r.gateways, field)
      end
      users, ends = tonumber(users), tonumber(ends)
      if r.began and ends > r.began then
        r.atBegin = r.atBegin + users
      end
      if r.op == 2 and field == r.gateway then
        r.isKnown = true
      elseif ends > clock then
        r.online, r.leases = r.online + users, r.leases + 1
      else
        r.over[#r.over + 1] = field
      end
    end
  end
  if r.op == 2 and r.reported > 0 then
    if r.leases >= MAX_GATEWAYS then
      fail(11)
    end
    r.online, r.leases = r.online + r.reported, r.leases + 1
  end
  if r.began then
    r.beganPeak = count(r.peaks, text(r.began))
  end
  for i, month in ipairs(r.months) do
    local peak = count(r.peaks, month)
    if i == 1 then
      r.monthPeak = peak
      if r.op == 2 then
        peak = max(peak, r.online)
      end
    end
    if r.began and tonumber(month) == r.began then
      peak = max(peak, r.atBegin)
    end
    r.monthPeaks[i] = peak
  end
  return at + 9 + months
end

-- peak notes the peak of a month, and forgets those of months long past.
local function peak(r, month, users, before)
  if users <= before then
    return
  end
  change('HSET', r.peaks, month, users)
  if before == 0 then
    for _, field in ipairs(call('HKEYS', KEYS[r.peaks])) do
      if tonumber(field) + r.peaksKept < clock then
        change('HDEL', r.peaks, field)
      end
    end
  end
end

-- write notes a gateway's report.
local function writeReport(r)
  for _, field in ipairs(r.over) do
    change('HDEL', r.gateways, field)
  end
  if r.reported > 0 then
    change('HSET', r.gateways, r.gateway, text(r.reported) .. ' ' .. text(clock + r.lease))
  elseif r.isKnown then
    change('HDEL', r.gateways, r.gateway)
  end
  change('HSET', r.gateways, 'e', r.monthEnd)
  if r.began and text(r.began) ~= r.months[1] then
    peak(r, text(r.began), r.atBegin, r.beganPeak)
  end
  peak(r, r.months[1], r.monthPeaks[1], r.monthPeak)
end

-- hold reads what a step is about that is about a reservation.
local function hold(at)
  return {
    op = A[at], key = base + A[at + 1], old = base + A[at + 2], id = A[at + 3], print = A[at + 4], length = A[at + 5],
    asked = A[at + 6], late = A[at + 7] == 1, state = 0, ends = 0
  }
end

-- NOTHING is what a transaction that has only charges finds.
local NOTHING = {}
-- What the charges at hand found: one entry a charge, then one a counter.
local delta, from, used, held, of, found = {}, {}, {}, {}, {}, {}

-- judge reads the counters of all charges, and returns whether they fit their
-- limits and whether one of them would not be exact any more.
local function judge(t, at, n, replayed, holding)
  local fits, overflows, isHeld, c = true, false, false, 0
  for i = 1, n do
    local d, limit, kind, subjects = A[at], A[at + 1], A[at + 2], A[at + 3]
    at = at + 4
    local applies, basis, members, wholeApp = true, 0, 0, kind == 2
    if kind == 3 then
      basis, members, wholeApp = A[at], A[at + 2], A[at + 6] == 1
      local types, sameDay = A[at + 3], A[at + 4]
      at = at + 7
      if members == 1 and not t.exists then
        applies = false
      elseif types ~= '' and not (t.exists and find(types, t.type, 1, true)) then
        applies = false
      elseif sameDay == 1 and not (t.exists and t.day == t.group.day) then
        applies = false
      end
      if basis == 1 then
        d = d * (t.new or 0)
      elseif basis == 2 then
        d = d * (t.active or 0)
      elseif basis == 3 then
        d = d * (t.gone or 0)
      end
    end
    from[i] = c
    if not applies then
      delta[i] = false
    else
      if members == 1 then
        c = c + 1
        used[c], of[c] = t.members, holding and ofMembers(t.group)
      else
        for k = at, at + 2 * subjects - 2, 2 do
          local key, field = base + A[k], A[k + 1]
          c = c + 1
          if wholeApp then
            found[c] = total(key, field)
            used[c] = found[c] and found[c].used or count(key, field) -- which says what is the matter
          else
            used[c] = count(key, field)
          end
          of[c] = holding and ofCounter(key, field)
        end
      end
      if basis == 4 then
        d = d - used[c]
      end
      if replayed then
        d = 0
      end
      delta[i] = d
      for k = from[i] + 1, c do
        local sum = used[k]
        if holding then
          held[k] = byOthers(t, of[k])
          isHeld = isHeld or held[k] ~= 0
          sum = sum + held[k]
        end
        if d > 0 and limit and sum + d > limit then
          fits = false
        end
        if sum + d > EXACT or sum + d < -EXACT then
          overflows = true
        end
      end
    end
    at = at + 2 * subjects
  end
  from[n + 1] = c
  return fits, overflows, isHeld
end

-- add adds to the counters of all charges, and returns what becomes of the group's
-- members; a counter that becomes zero is removed.
local function add(t, at, n)
  local members = t.members
  for i = 1, n do
    local kind, subjects = A[at + 2], A[at + 3]
    local signed, ttl, isMembers, wholeApp = 0, 0, false, kind == 2
    at = at + 4
    if kind == 3 then
      signed, isMembers, ttl, wholeApp = A[at + 1], A[at + 2] == 1, A[at + 5], A[at + 6] == 1
      at = at + 7
    end
    local d = delta[i]
    if d and isMembers then
      members = max(0, members + d)
    elseif d and d ~= 0 then
      local c = from[i]
      for k = at, at + 2 * subjects - 2, 2 do
        c = c + 1
        local after = used[c] + d
        if after < 0 and signed == 0 then
          after = 0
        end
        if after ~= used[c] then
          writes = writes + 1
          if wholeApp then
            become(found[c], after, ttl)
          else
            put(base + A[k], A[k + 1], after, ttl)
          end
        end
      end
    end
    at = at + 2 * subjects
  end
  return members
end

-- reserve holds all that the charges would add, and returns whether that is of any
-- counter.
local function reserve(t, n)
  local parts, isHeld = {}, false
  beginHolding()
  for i = 1, n do
    if delta[i] and delta[i] > 0 then
      for k = from[i] + 1, from[i + 1] do
        take(parts, of[k], delta[i])
        held[k], isHeld = held[k] + delta[i], true
      end
    end
  end
  if t.group and t.group.op == 2 then
    take(parts, ofGroupID(t.group), 1)
  end
  placeHold(t.hold, parts, A[2])
  return isHeld
end

-- write carries a transaction out. Nothing in it can fail any more.
local function write(t, at, n)
  if t.hold and t.hold.op > 2 then
    finishHold(t.hold)
  end
  local u, g = t.users, t.group
  if u then
    local list = u.writes
    for i = 1, #list, 3 do
      if list[i + 2] then
        change('HSET', list[i], list[i + 1], list[i + 2])
      else
        change('HDEL', list[i], list[i + 1])
      end
    end
    for i = 1, #u.drops, 2 do
      change('HDEL', u.drops[i], u.drops[i + 1])
    end
  end
  local members = add(t, at, n)
  if g then
    if g.drops then
      for i = 1, #g.drops, 2 do
        change('HDEL', g.drops[i], g.drops[i + 1])
      end
    end
    if g.op == 5 then
      if t.found then
        change('HSET', g.key, g.id, '-' .. g.day)
      end
    elseif g.op > 1 and t.exists and (not t.found or g.dates or members ~= t.members) then
      change('HSET', g.key, g.id, t.type .. t.day .. '.' .. text(members))
    end
  end
  if t.online and t.online.op == 2 then
    writeReport(t.online)
  end
end

-- run judges one transaction, writes it, and adds its reply.
local function run(at)
  local mode, window, n, steps = A[at], A[at + 1], A[at + 2], A[at + 3]
  at = at + 4
  if window ~= 0 and clock >= window then
    fail(2)
  end
  steps = steps % ONLY_ADDS
  local t, replayed, id, young, fingerprint = NOTHING, false, false, 0, ''
  if steps % 2 == 1 then
    id, young, fingerprint = A[at], base + A[at + 1], A[at + 3]
    local known = read(young, id)
    if not known then
      known = read(base + A[at + 2], id)
    end
    if known and known ~= fingerprint then
      fail(3)
    end
    replayed = known and true
    at = at + 4
  end
  if steps > 1 then
    t = {}
    if steps % 4 > 1 then
      t.hold = hold(at)
      replayed = findHold(t) or replayed
      at = at + 8
    end
    if steps % 8 > 3 then
      at = users(t, at, mode, replayed)
    end
    if steps % 16 > 7 then
      at = group(t, at, mode, replayed)
    end
    if steps > 15 then
      at = readReport(t, at)
    end
  end
  local fits, overflows, isHeld = judge(t, at, n, replayed, holds or mode == 3)
  local applies = not replayed and (mode == 2 or (mode == 1 or mode == 3) and fits)
  if applies then
    if overflows then
      fail(6)
    end
    local before = writes
    if mode == 3 then
      isHeld = reserve(t, n) or isHeld
    else
      write(t, at, n)
    end
    if id then
      change('HSET', young, id, fingerprint)
      lasting(KEYS[young])
    end
    if writes > before then
      sequence = sequence + 1
    end
  end
  o = o + 1
  out[o] = (applies and 1 or 0) + (replayed and 2 or 0) + (t.found and 4 or 0) + (isHeld and 8 or 0)
  if t.found then
    out[o + 1], out[o + 2], out[o + 3] = t.type, t.foundDay, t.members
    o = o + 3
  end
  for i = 1, n do
    local kind, subjects = A[at + 2], A[at + 3]
    local first, last = from[i] + 1, from[i + 1]
    if kind == 3 then
      o = o + 1
      out[o] = delta[i] and last - first + 1 or 0
      if delta[i] and A[at + 4] ~= 0 then
        o = o + 1
        out[o] = delta[i]
      end
      at = at + 7
    end
    at = at + 4 + 2 * subjects
    for k = first, last do
      o = o + 1
      out[o] = used[k]
    end
    if isHeld then
      for k = first, last do
        o = o + 1
        out[o] = held[k]
      end
    end
  end
  local r, h = t.online, t.hold
  if r then
    out[o + 1], out[o + 2], out[o + 3] = r.online, r.leases, r.op == 2 and r.reported > 0 and clock + r.lease or 0
    o = o + 3
    for _, users in ipairs(r.monthPeaks) do
      o = o + 1
      out[o] = users
    end
  end
  if h then
    out[o + 1], out[o + 2], out[o + 3] = h.state, h.ends, h.plan or ''
    o = o + 3
  end
end

-- problem is what was raised: by this script, or by Redis.
local function problem(raised)
  if type(raised) == 'table' and not raised.err then
    return raised[1], raised[2]
  end
  return 7, type(raised) == 'table' and raised.err or tostring(raised)
end

-- spoil answers for a transaction that raised a problem, after so many writes.
local function spoil(raised, here, already)
  local code, why = problem(raised)
  if writes > already then
    code, sequence = 9, sequence + 1
  end
  for i = here + 1, #out do
    out[i] = nil
  end
  o = here
  refuse(-code, why)
end

-- undo takes back what increase has done for charges from this one on and counters
-- from this one on: it had come to the counter at last, whose value was this before
-- it added, or false if it did not.
local function undo(charge, at, last, before)
  local p = o + 1
  while at <= last do
    local d, ends = A[charge], at + 2 * A[charge + 3]
    for k = at, math.min(ends - 2, last), 2 do
      p = p + 1
      local was = k == last and before or k < last and out[p]
      if was == 0 then
        call('HDEL', KEYS[base + A[k]], A[k + 1])
      elseif was then
        call('HINCRBY', KEYS[base + A[k]], A[k + 1], -d)
      end
    end
    charge, at = charge + 4, ends
  end
  for i = o + 1, p do
    out[i] = nil
  end
end

-- move copies so many elements, and returns what is behind them, there and here.
local function move(to, from, n)
  for i = 0, n - 1 do
    A[to + i] = A[from + i]
  end
  return to + n, from + n
end

-- spread writes a transaction that only adds or is a login, given by its shape and
-- what is its own, in the way of all others, and returns where: behind what was given,
-- in the place of the last that was spread.
local function spread(shape, at)
  given = given or #A
  local to, steps, charges = given + 1, A[shape + 3], A[shape + 2]
  if steps >= LOGIN then
    to, shape = move(to, shape, 7)
    to = move(to, at, 2)
    for _ = 1, charges do
      to, shape = move(to, shape, 13)
      A[to - 2] = A[to - 2] + shapeBase - base
    end
    return given + 1
  end
  to, shape = move(to, shape, 4)
  if steps == WITH_REQUEST then
    to, at = move(to, at, 4)
  end
  for _ = 1, charges do
    to, shape = move(to, shape, 4)
    to, at = move(to, at, 2 * A[shape - 1])
  end
  return given + 1
end

-- transact judges a transaction, writes it, and adds its reply, whatever is wrong
-- with it.
local function transact(at)
  local here, already = o, writes
  local ok, raised = pcall(run, at)
  if not ok then
    spoil(raised, here, already)
  end
end

-- increase carries out a transaction that only adds, if that is right: counters are
-- added to before it is known that they may, which is half the commands of reading
-- first. It reports whether it was right; else nothing is changed and it is to be
-- judged: over a limit, a request that is known, a value that is not a count.
local function increase(shape, at)
  local force, charges = A[shape] == 2, A[shape + 2]
  local bucket, id
  if A[shape + 3] == WITH_REQUEST then
    id, bucket = A[at], KEYS[base + A[at + 1]]
    if try('HSETNX', bucket, id, A[at + 3]) ~= 1 then
      return false
    elseif try('HGET', KEYS[base + A[at + 2]], id) then
      call('HDEL', bucket, id)
      return false
    end
    at = at + 4
  end
  local first, p = at, o + 1
  for charge = shape + 4, shape + 4 * charges, 4 do
    local d, most, last = A[charge], not force and A[charge + 1] or EXACT, at + 2 * A[charge + 3] - 2
    local by = d == 1 and '1' or d
    for k = at, last, 2 do
      local after = try('HINCRBY', KEYS[base + A[k]], A[k + 1], by)
      if type(after) ~= 'number' or after > most or after < d then
        undo(shape + 4, first, k, type(after) == 'number' and after - d)
        if id then
          call('HDEL', bucket, id)
        end
        return false
      end
      p = p + 1
      out[p] = after - d
    end
    at = last + 2
  end
  if id then
    lasting(bucket)
  end
  out[o + 1] = 1
  o, sequence = p, sequence + 1
  return true
end

-- app carries out the transactions of one app.
local function app(at, isFirst)
  local header = KEYS[A[at]]
  local stored = try('HMGET', header, 'v', 'c', 's', 'h')
  if stored.err and not find(stored.err, '^WRONGTYPE') then
    return refuse(17, 'NOPERM ' .. stored.err)
  elseif stored.err then
    return refuse(7, header .. ': ' .. stored.err)
  elseif stored[1] ~= A[at + 1] then
    return refuse(1, 0)
  elseif not isFirst and not redis.acl_check_cmd('HSET', header) then
    return refuse(17, 'NOPERM this user may not run HSET')
  end
  clock, sequence, holdsEnd = tonumber(stored[2] or 0), tonumber(stored[3] or 0), tonumber(stored[4] or 0)
  if not (clock and sequence and holdsEnd) or clock % 1 + sequence % 1 + holdsEnd % 1 ~= 0 or max(clock, sequence, holdsEnd) > EXACT then
    return refuse(7, header .. ': its clock, its sequence or the end of its holds is not a number')
  end
  if A[at + 2] ~= 0 then
    if not time then
      local now = call('TIME')
      time = now[1] * 1000 + math.floor(now[2] / 1000)
    end
    if time < A[at + 2] then
      return refuse(10, time)
    end
  end
  kept = clock -- it becomes the later one when something is written
  clock, idsEnd = max(clock, A[at + 3]), A[at + 4]
  if idsEnd ~= 0 and clock >= idsEnd then
    return refuse(8, clock)
  end
  HELD, ENDS, ended, totals, changed = A[at + 5], A[at + 6], nil, nil, nil
  holds = holdsEnd > clock
  if holds then
    if HELD == 0 then
      return refuse(16, holdsEnd)
    end
    local ok, raised = pcall(settle)
    if not ok then
      return refuse(problem(raised))
    end
  end

  local first, before = o, sequence
  out[o + 1], out[o + 2], out[o + 3] = 0, 0, 0
  o = o + 3
  local parcels, shape = A[at + 7], 0 -- shape: the last transaction that is given whole
  at = at + 9
  for _ = 1, parcels do
    local txns = A[at + 1]
    base, at = A[at], at + 2
    o = o + 1
    local parcel = o
    out[parcel] = 0
    for _ = 1, txns do
      local elements, own, isDone = A[at], at + 1, false
      at = own + math.abs(elements)
      local isWhole = elements > 0
      if isWhole then
        shape, shapeBase = own, base
      end
      local steps = A[shape + 3]
      if steps >= ONLY_ADDS then
        if isWhole then
          own = shape + (steps < LOGIN and 4 + 4 * A[shape + 2] or 7 + 13 * A[shape + 2])
        end
        if not holds then
          local ok, result = pcall(steps < LOGIN and increase or login, shape, own)
          isDone = result
          if not ok then
            spoil(result, o, writes - 1)
          end
        end
      end
      if not isDone then
        transact(steps < ONLY_ADDS and shape or spread(shape, own))
      end
    end
    out[parcel] = o - parcel
  end
  if changed then
    for _, counter in ipairs(changed) do
      put(counter.key, counter.field, counter.used, counter.ttl)
    end
  end
  if sequence ~= before then
    if clock ~= stamped then
      stamped, stamp = clock, string.format('%.0f', clock)
    end
    call('HSET', header, 'c', stamp, 's', sequence)
    if holds then
      call('HSET', header, 'h', holdsEnd)
    elseif holdsEnd ~= 0 and HELD ~= 0 then
      call('HDEL', header, 'h')
      call('UNLINK', KEYS[HELD], KEYS[ENDS])
    end
  end
  out[first + 2], out[first + 3] = clock, sequence
end

-- apply carries out a call. What an earlier one left, it may have broken off, does not
-- matter to it.
local function apply(keys, args)
  if not call then
    call, try, type, tonumber, find, max = globals()
  end
  KEYS, A, given, out, o, time = keys, cmsgpack.unpack(args[1]), nil, {}, 0, nil
  local at = 4
  for i = 1, A[3] do
    app(at, i == 1)
    at = at + 9 + A[at + 8]
  end
  return cmsgpack.pack(out)
end
