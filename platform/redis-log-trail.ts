import { fromTrailJson, type LogTrail, toTrailJson } from './log-trail.ts'
import type { RedisConnection } from './redis-connection.ts'

/** The trail beside the leaderboards in Redis. */
export const createRedisLogTrail = (redis: RedisConnection, namespace: string): LogTrail => {
  const key = `${namespace}:log-trail`
  return {
    read: async () => {
      const text = await redis.run((client) => client.get(key))
      return text === null ? undefined : fromTrailJson(text)
    },
    write: async (trail) => {
      await redis.run((client) => client.set(key, toTrailJson(trail)))
    },
  }
}
