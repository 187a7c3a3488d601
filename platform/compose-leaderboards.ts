import type { GenerationsReader } from './checkpointed-store.ts'
import { type Connections, type Opening, type Pair, unlessAway } from './compose-opening.ts'
import type { Database } from './database.ts'
import type { LeaderboardStore } from './leaderboard-store.ts'
import { createPostgresLeaderboardStore } from './postgres-leaderboard-store.ts'

export type Leaderboards = Pair<LeaderboardStore, GenerationsReader>

/**
 * The leaderboards on the engine that the configuration chose.
 *
 * @param partitions of the feed
 */
export const openLeaderboards = async (
  { config, clock, logger, lifecycle }: Opening,
  { database, queries, rebuilding }: Connections,
  partitions: readonly number[],
): Promise<Leaderboards> => {
  switch (config.leaderboards.kind) {
    case 'postgres': {
      const on = (connections: Database) =>
        createPostgresLeaderboardStore({ database: connections, schema: 'leaderboards', clock })
      return { writing: on(database), asking: on(queries), building: on(rebuilding) }
    }
    case 'redis': {
      const { openRedis } = await import('./redis-connection.ts')
      const { createRedisLogTrail } = await import('./redis-log-trail.ts')
      const { createRedisLeaderboardStore } = await import('./redis-leaderboard-store.ts')
      const { url, ca } = config.leaderboards
      const { namespace } = config
      const connect = () => {
        const redis = openRedis({ url, ca, logger })
        lifecycle.onStop('a connection to Redis', redis.close, { group: 'engines' })
        return redis
      }
      // Queries do not wait behind batches.
      const [writer, asker] = [connect(), connect()]
      const engine = { name: 'Redis', variable: 'REDIS_URL', host: writer.host }
      await unlessAway(engine, writer.check, { without: 'the leaderboards', logger })
      const asking = createRedisLeaderboardStore({ redis: asker, database: queries, namespace, clock, logger })
      const writing = () =>
        createRedisLeaderboardStore({ redis: writer, database, namespace, clock, logger, partitions })
      return {
        writing: writing(),
        asking,
        building: writing(),
        checkpoints: asking,
        trail: createRedisLogTrail(writer, config.namespace),
        check: async () => {
          await asker.run((client) => client.ping())
          return { ok: true }
        },
      }
    }
  }
}
