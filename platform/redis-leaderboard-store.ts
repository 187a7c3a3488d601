import type { Buildable, GenerationsReader } from './checkpointed-store.ts'
import type { Clock } from './clock.ts'
import type { Database } from './database.ts'
import { createEngineGenerations, type EngineGenerations } from './engine-generations.ts'
import type { LeaderboardStore } from './leaderboard-store.ts'
import type { Logger } from './logging.ts'
import type { RedisConnection } from './redis-connection.ts'
import { createRedisEpochs } from './redis-leaderboard-epoch.ts'
import { createRedisGenerationEngine, redisGenerations } from './redis-leaderboard-generations.ts'
import { redisLeaderboardKeys, spaceOf } from './redis-leaderboard-keys.ts'
import { createRedisLeaderboardReads, type Whereabouts } from './redis-leaderboard-reads.ts'
import { createRedisLeaderboardWrites, type RedisLeaderboardWrites } from './redis-leaderboard-writes.ts'

export interface RedisLeaderboardOptions {
  readonly redis: RedisConnection
  readonly database: Database
  readonly namespace: string
  readonly name?: string
  readonly partitions?: readonly number[]
  readonly clock: Clock
  readonly logger: Logger
}

export type RedisLeaderboardStore = LeaderboardStore &
  GenerationsReader &
  Required<Pick<LeaderboardStore, 'intact' | 'skipped'>>

/**
 * The leaderboards in sorted sets of Redis. A batch is one script: scores, checkpoint and the memory of parked events
 * move together or not at all. What Redis loses is noticed and built again from the log.
 *
 * @param options.redis its commands, in the order in which they are sent; queries should have one of their own
 * @param options.database keeps the epochs, which generation is live, and the book-keeping of batches
 * @param options.partitions of the feed: when all have come to where the log ended, a board that was lost is shown again
 * @param options.namespace begins every key: `orderlog:{leaderboards:1}`, where 1 is the generation
 * @param options.name of the projection; default `leaderboards`
 */
export const createRedisLeaderboardStore = (options: RedisLeaderboardOptions): RedisLeaderboardStore => {
  const { redis, database, namespace, name = 'leaderboards', partitions = [0], clock, logger } = options
  const keysOf = (generation: number) => redisLeaderboardKeys(spaceOf(namespace, generation))

  const epochsOf = (generation: number, role: 'live' | 'building') =>
    createRedisEpochs({
      ...{ redis, database, logger, role, keys: keysOf(generation) },
      lock: (transaction) =>
        role === 'live'
          ? generations.keepLive(transaction, generation)
          : generations.keepBeside(transaction, generation),
    })
  const engine = createRedisGenerationEngine({
    ...{ redis, database, namespace, name, clock },
    epochsOf: (generation) => epochsOf(generation, 'building'),
  })
  const generations: EngineGenerations = createEngineGenerations({ database, logger, name, engine })

  const writesOf = (generation: number, role: 'live' | 'building'): RedisLeaderboardWrites =>
    createRedisLeaderboardWrites({
      ...{ redis, partitions, clock, logger, role, keys: keysOf(generation), epochs: epochsOf(generation, role) },
      bookkeeping: (record) =>
        role === 'live'
          ? generations.record(generation, record)
          : database.transaction(async (transaction) => {
              await record(transaction)
              return true
            }),
    })

  let asked: number | undefined
  const live: Whereabouts = {
    live: true,
    keys: async () => {
      asked ??= await generations.live()
      return keysOf(asked)
    },
    follow: (generation) => {
      asked = generation
    },
    lookAgain: async (before) => {
      asked = await generations.live()
      return keysOf(asked).meta !== before.meta
    },
  }

  let entered: { readonly generation: number; readonly writes: RedisLeaderboardWrites } | undefined
  const writes = (): RedisLeaderboardWrites => {
    if (!entered) throw new Error(`the leaderboards in ${namespace} were not prepared`)
    return entered.writes
  }

  const store: RedisLeaderboardStore = {
    ...createRedisLeaderboardReads(redis, live),
    prepare: async (logIdentity, anew) => {
      await redis.check()
      const generation = await generations.enter()
      const writing = entered?.generation === generation ? entered.writes : writesOf(generation, 'live')
      await writing.prepare(logIdentity, anew)
      entered = { generation, writes: writing }
    },
    checkpoint: (consumer, partition) => writes().checkpoint(consumer, partition),
    applyBatch: (batch) => writes().applyBatch(batch),
    reset: (consumer, record) => writes().reset(consumer, record),
    // A Redis that was put back to before a swap would take in what this writer still has for the former generation.
    intact: async () => (await generations.live()) === entered?.generation && (await writes().intact()),
    skipped: (consumer) => writes().skipped(consumer),
    generations: {
      highest: async () => Math.max(0, ...(await redisGenerations(database, namespace)), await generations.recorded()),
      at: (generation): RedisLeaderboardStore & Buildable => ({
        ...writesOf(generation, 'building'),
        ...createRedisLeaderboardReads(redis, {
          live: false,
          keys: async () => keysOf(generation),
          follow: () => undefined,
          lookAgain: async () => false,
        }),
        generations: store.generations,
        // Boards have no indexes.
        complete: async () => undefined,
      }),
      swap: generations.swap,
      drop: generations.drop,
    },
  }
  return store
}
