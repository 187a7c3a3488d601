import type { CheckpointReader } from './checkpointed-store.ts'
import { type Connections, type Opening, type Pair, unlessAway } from './compose-opening.ts'
import type { Database } from './database.ts'
import type { LeaderboardStore } from './leaderboard-store.ts'
import { createPostgresLeaderboardStore } from './postgres-leaderboard-store.ts'

export type Leaderboards = Pair<LeaderboardStore, CheckpointReader>

/**
 * The leaderboards on the engine that the configuration chose.
 *
 * @param partitions of the feed
 */
export const openLeaderboards = async (
  { config, clock, logger, lifecycle }: Opening,
  { database, queries }: Connections,
  partitions: readonly number[],
): Promise<Leaderboards> => {
  switch (config.leaderboards.kind) {
    case 'postgres': {
      const on = (connections: Database) =>
        createPostgresLeaderboardStore({ database: connections, schema: 'leaderboards', clock })
      return { writing: on(database), asking: on(queries) }
    }
    case 'redis': {
      const { openRedis } = await import('./redis-connection.ts')
      const { createRedisLeaderboardStore } = await import('./redis-leaderboard-store.ts')
      const { url, ca } = config.leaderboards
      const space = `${config.namespace}:{leaderboards:1}`
      const connect = () => {
        const redis = openRedis({ url, ca, logger })
        lifecycle.onStop('a connection to Redis', redis.close, { group: 'engines' })
        return redis
      }
      // Queries do not wait behind batches.
      const [writer, asker] = [connect(), connect()]
      const engine = { name: 'Redis', variable: 'REDIS_URL', host: writer.host }
      await unlessAway(engine, writer.check, { without: 'the leaderboards', logger })
      const asking = createRedisLeaderboardStore({ redis: asker, database: queries, space, clock, logger })
      return {
        writing: createRedisLeaderboardStore({ redis: writer, database, space, clock, logger, partitions }),
        asking,
        checkpoints: asking,
        check: async () => {
          await asker.run((client) => client.ping())
          return { ok: true }
        },
      }
    }
  }
}
