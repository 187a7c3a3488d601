import { sealing } from './partitioning.ts'
import { defineScript } from './redis-connection.ts'

/**
 * Makes everything empty by a new epoch; the keys of the ones before are garbage from now on.
 *
 * KEYS meta, garbage
 * ARGV epoch, identity of the log, the position until which it is not built ('' for none), the epoch known before or '',
 * state
 */
export const beginScript = defineScript(`
local before = redis.call('HGET', KEYS[1], 'epoch')
if before then redis.call('SADD', KEYS[2], before) end
if ARGV[4] ~= '' then redis.call('SADD', KEYS[2], ARGV[4]) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'log', ARGV[2], 'sizes', '0 0 0', 'state', ARGV[5])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'until', ARGV[3]) end
return 1
`)

/** Ends a generation: KEYS meta, garbage; ARGV the epoch known before or ''. */
export const endScript = defineScript(`
local before = redis.call('HGET', KEYS[1], 'epoch')
if before then redis.call('SADD', KEYS[2], before) end
if ARGV[1] ~= '' then redis.call('SADD', KEYS[2], ARGV[1]) end
return redis.call('DEL', KEYS[1])
`)

/** Nobody writes it any more: KEYS meta. */
export const holdScript = defineScript(`
if redis.call('HEXISTS', KEYS[1], 'epoch') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'state', 'held')
return 1
`)

/** Serves it, unless it was never whole: KEYS meta. */
export const openScript = defineScript(`
local known = redis.call('HMGET', KEYS[1], 'epoch', 'state')
if not known[1] or known[2] == 'building' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'live')
redis.call('HDEL', KEYS[1], 'next')
return 1
`)

/** Leads who asks to another generation, if it was ever served or could be: KEYS meta; ARGV that generation. */
export const keepScript = defineScript(`
local known = redis.call('HMGET', KEYS[1], 'epoch', 'state')
local state = known[2] or 'live'
if not known[1] or state == 'building' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'kept', 'next', ARGV[1])
return 1
`)

/**
 * Makes a generation ready to be served, with the checkpoints of a live one in the place of those that it was built with;
 * 0 when it is not the one that was built, or somebody has taken it further.
 *
 * KEYS meta
 * ARGV epoch, consumer ('' when it keeps its checkpoints), identity of the log, now (ISO 8601), the position that it has
 * come to, then partitions and their positions, in turns
 */
export const placeScript = defineScript(`
local known = redis.call('HMGET', KEYS[1], 'epoch', 'state')
if known[1] ~= ARGV[1] or known[2] == 'live' or known[2] == 'held' then return 0 end
local fields = ARGV[2] == '' and {} or redis.call('HKEYS', KEYS[1])
for _, field in ipairs(fields) do
  local prefix = 'position ' .. ARGV[2] .. ' '
  if string.sub(field, 1, #prefix) == prefix then
    local stands = tonumber(redis.call('HGET', KEYS[1], field))
    if stands > tonumber(ARGV[5]) and stands < ${sealing} then return 0 end
  end
end
for _, field in ipairs(fields) do
  for _, kind in ipairs({'position ', 'moved '}) do
    local prefix = kind .. ARGV[2] .. ' '
    if string.sub(field, 1, #prefix) == prefix then redis.call('HDEL', KEYS[1], field) end
  end
end
for i = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[1], 'position ' .. ARGV[2] .. ' ' .. ARGV[i], ARGV[i + 1], 'moved ' .. ARGV[2] .. ' ' .. ARGV[i], ARGV[4])
end
redis.call('HSET', KEYS[1], 'state', 'ready')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'log', ARGV[3]) end
redis.call('HDEL', KEYS[1], 'until', 'next')
return 1
`)
