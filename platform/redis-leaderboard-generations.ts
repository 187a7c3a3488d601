import type { Clock } from './clock.ts'
import type { Database } from './database.ts'
import type { GenerationEngine } from './engine-generations.ts'
import { EngineUnavailable } from './failures.ts'
import { isSealed } from './partitioning.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { RedisEpochs } from './redis-leaderboard-epoch.ts'
import { redisLeaderboardKeys, spaceOf } from './redis-leaderboard-keys.ts'
import { holdScript, keepScript, openScript, placeScript } from './redis-leaderboard-life-scripts.ts'

/** The generations of the leaderboards of which PostgreSQL knows that there is something in Redis. */
export const redisGenerations = async (database: Database, namespace: string): Promise<number[]> => {
  const before = spaceOf(namespace, 0).slice(0, -'0}'.length)
  const rows = await database.query<{ store: string }>(
    'select store from platform.store_epochs where starts_with(store, $1)',
    [before],
  )
  return rows.map(({ store }) => Number.parseInt(store.slice(before.length), 10))
}

/** How Redis takes part in a swap. Two generations may be in two slots of a cluster: no script touches both. */
export const createRedisGenerationEngine = (deps: {
  readonly redis: RedisConnection
  readonly database: Database
  readonly namespace: string
  /** The projection. */
  readonly name: string
  readonly clock: Clock
  readonly epochsOf: (generation: number) => RedisEpochs
}): GenerationEngine => {
  const { redis, database, namespace, name, clock, epochsOf } = deps
  const metaOf = (generation: number): string => redisLeaderboardKeys(spaceOf(namespace, generation)).meta

  /** Checkpoints of a consumer of the whole log that has gone over to partitions: they stay seals. */
  const sealsOf = async (generation: number): Promise<[partition: number, position: bigint][]> => {
    const fields = await redis.run((client) => client.hgetall(metaOf(generation)))
    const prefix = `position ${name} `
    return Object.entries(fields).flatMap(([field, text]): [number, bigint][] =>
      field.startsWith(prefix) && isSealed(BigInt(text)) ? [[Number(field.slice(prefix.length)), BigInt(text)]] : [],
    )
  }

  return {
    isSettled: async (generation) => {
      const [epoch, state] = await redis.run((client) => client.hmget(metaOf(generation), 'epoch', 'state'))
      return epoch !== null && (state ?? 'live') === 'live'
    },
    settle: async (generation) => {
      for (const other of await redisGenerations(database, namespace))
        if (other !== generation) await redis.evaluate(keepScript, [metaOf(other)], [generation])
      // Last: one that is open says that nothing is left to be done.
      await redis.evaluate(openScript, [metaOf(generation)], [])
    },
    check: async (generation) => void (await epochsOf(generation).whole()),
    hold: async (generation) => void (await redis.evaluate(holdScript, [metaOf(generation)], [])),
    place: async ({ from, to, partitions, logIdentity }, position) => {
      const positions = new Map(await sealsOf(from))
      for (const partition of partitions) positions.set(partition, position ?? 0n)
      const epoch = (await epochsOf(to).known()) ?? 'none'
      const checkpoints =
        position === undefined
          ? ['']
          : [name, logIdentity, clock.now().toISOString(), String(position), ...[...positions].flat().map(String)]
      const placed = await redis.evaluate<number>(placeScript, [metaOf(to)], [epoch, ...checkpoints])
      if (placed !== 1) throw new EngineUnavailable('Redis', new Error(`generation ${to} is not there as it was built`))
    },
    remove: (generation) => epochsOf(generation).end(),
  }
}
