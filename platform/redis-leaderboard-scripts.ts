import { defineScript } from './redis-connection.ts'

/** Lua hands a function some thousands of values at most. */
const chunk = 3_000

/** What else must be as it was left, in one text: how many boards, events gone past, and boards of hours there are. */
const sizes = `
local function sizes(counts, hours, skipped)
  return redis.call('HLEN', counts) .. ' ' .. redis.call('ZCARD', hours) .. ' ' .. redis.call('HLEN', skipped)
end
`

/**
 * The state of a generation, in `state` of its meta:
 *
 * building -> ready (has the checkpoints of a live one) -> live -> held (for a swap) -> kept (`next` is live) -> ready ...
 *
 * One that was begun before there were states has none and is live.
 */
export type GenerationState = 'building' | 'ready' | 'live' | 'held' | 'kept'

/**
 * A batch. Everything is read and computed first and written last, so that a refusal leaves nothing behind.
 *
 * Scores are kept negated: ascending order then is highest score first and equal scores by key, and what counts for
 * nothing is at zero or above. Each is a whole number below 2^53, which a double holds exactly.
 *
 * KEYS meta, counts, hours, skipped, then one per board
 * ARGV epoch, consumer, partition, from, to, now (ISO 8601), newly skipped (JSON array), come late (JSON array), all
 * partitions (JSON array), '1' when it is meant for the live generation, then per board: its name, its hour (epoch seconds; empty for others), its members and what is
 * added to each (JSON array)
 */
export const applyScript = defineScript(`${sizes}
local meta, counts, hours, skipped = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', meta, 'epoch') ~= ARGV[1] then return {'fenced'} end
local state = redis.call('HGET', meta, 'state') or 'live'
if state == 'held' or (state == 'live') ~= (ARGV[10] == '1') then return {'fenced'} end
local place = ARGV[2] .. ' ' .. ARGV[3]
if (redis.call('HGET', meta, 'position ' .. place) or '0') ~= ARGV[4] then return {'fenced'} end
local late = cjson.decode(ARGV[8])
for _, position in ipairs(late) do
  if redis.call('HEXISTS', skipped, ARGV[2] .. ' ' .. position) == 0 then return {'fenced'} end
end

local function inChunks(list, call)
  for first = 1, #list, ${chunk} do call(unpack(list, first, math.min(first + ${chunk} - 1, #list))) end
end

if redis.call('HGET', meta, 'sizes') ~= sizes(counts, hours, skipped) then
  redis.call('HDEL', meta, 'epoch')
  return {'damaged', 'the lists of boards'}
end
local plans = {}
for k = 5, #KEYS do
  local a = 11 + (k - 5) * 3
  local key, name, changes = KEYS[k], ARGV[a], cjson.decode(ARGV[a + 2])
  if redis.call('ZCARD', key) ~= tonumber(redis.call('HGET', counts, name) or 0) then
    redis.call('HDEL', meta, 'epoch')
    return {'damaged', name}
  end
  local members, old = {}, {}
  for i = 1, #changes, 2 do members[#members + 1] = changes[i] end
  inChunks(members, function(...)
    for _, score in ipairs(redis.call('ZMSCORE', key, ...)) do old[#old + 1] = score end
  end)
  local scores, gone = {}, {}
  for i, member in ipairs(members) do
    local score = tonumber(old[i] or 0) - changes[2 * i]
    -- One more, 2^53, is also what 2^53 + 1 comes out as.
    if score > 9007199254740991 or score < -9007199254740991 then return {'exceeds', name, member} end
    if score == 0 then
      gone[#gone + 1] = member
    else
      scores[#scores + 1] = score
      scores[#scores + 1] = member
    end
  end
  plans[#plans + 1] = {key, name, ARGV[a + 1], scores, gone}
end

for _, plan in ipairs(plans) do
  local key, name, hour = plan[1], plan[2], plan[3]
  inChunks(plan[4], function(...) redis.call('ZADD', key, ...) end)
  inChunks(plan[5], function(...) redis.call('ZREM', key, ...) end)
  local size = redis.call('ZCARD', key)
  if size > 0 then redis.call('HSET', counts, name, size) else redis.call('HDEL', counts, name) end
  if hour ~= '' then redis.call('ZADD', hours, hour, name) end
end
for _, position in ipairs(cjson.decode(ARGV[7])) do redis.call('HSET', skipped, ARGV[2] .. ' ' .. position, ARGV[3]) end
for _, position in ipairs(late) do redis.call('HDEL', skipped, ARGV[2] .. ' ' .. position) end
redis.call('HSET', meta, 'position ' .. place, ARGV[5], 'moved ' .. place, ARGV[6], 'sizes', sizes(counts, hours, skipped))

local target = redis.call('HGET', meta, 'until')
if target then
  local built = true
  for _, partition in ipairs(cjson.decode(ARGV[9])) do
    local position = redis.call('HGET', meta, 'position ' .. ARGV[2] .. ' ' .. partition) or '0'
    -- Whole decimal numbers beyond 2^53 are compared as text.
    if #position < #target or (#position == #target and position < target) then built = false end
  end
  if built then redis.call('HDEL', meta, 'until') end
end
return {'applied'}
`)

/**
 * The first of a board, and their other scores; false for who has none.
 *
 * KEYS meta, the board, its units, its revenue
 * ARGV epoch, limit, '1' when the revenue is wanted, '1' when the live generation is
 */
export const topScript = defineScript(`
local known = redis.call('HMGET', KEYS[1], 'epoch', 'until', 'state', 'next')
if not known[1] then return {'absent'} end
if ARGV[4] == '1' then
  if known[3] == 'kept' then return {'moved', known[4]} end
  if known[3] == 'building' then return {'building'} end
end
if known[2] then return {'building'} end
if known[1] ~= ARGV[1] then return {'epoch', known[1]} end
local top = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(0', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local function scores(key)
  local all = {}
  for first = 1, #top, ${2 * chunk} do
    local members = {}
    for i = first, math.min(first + ${2 * chunk} - 1, #top), 2 do members[#members + 1] = top[i] end
    for _, score in ipairs(redis.call('ZMSCORE', key, unpack(members))) do all[#all + 1] = score end
  end
  return all
end
return {'found', top, scores(KEYS[3]), ARGV[3] == '1' and scores(KEYS[4]) or {}}
`)

/**
 * 1 when everything is as it was left.
 *
 * KEYS meta, counts, hours, skipped, then boards; ARGV epoch, then the boards' names
 */
export const intactScript = defineScript(`${sizes}
local known = redis.call('HMGET', KEYS[1], 'epoch', 'sizes')
if known[1] ~= ARGV[1] or known[2] ~= sizes(KEYS[2], KEYS[3], KEYS[4]) then return 0 end
for i = 5, #KEYS do
  if redis.call('ZCARD', KEYS[i]) ~= tonumber(redis.call('HGET', KEYS[2], ARGV[i - 3]) or 0) then return 0 end
end
return 1
`)

/** KEYS meta, counts, hours, skipped, then boards of hours that are over; ARGV epoch, then the boards' names. */
export const pruneScript = defineScript(`${sizes}
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
  redis.call('HDEL', KEYS[2], ARGV[i - 3])
  redis.call('ZREM', KEYS[3], ARGV[i - 3])
end
redis.call('HSET', KEYS[1], 'sizes', sizes(KEYS[2], KEYS[3], KEYS[4]))
return 1
`)
