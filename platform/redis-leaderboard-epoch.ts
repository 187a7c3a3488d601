import { randomUUID } from 'node:crypto'
import type { BeginAnew, StoreBatch } from './checkpointed-store.ts'
import type { Database, Queryable } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { RedisLeaderboardKeys } from './redis-leaderboard-keys.ts'
import { beginScript, endScript } from './redis-leaderboard-life-scripts.ts'
import { type GenerationState, intactScript } from './redis-leaderboard-scripts.ts'

/** Waits for a swap that is under way. */
const patient = { statementTimeoutMs: 60_000 }

/** Keys that one command names at most. */
const together = 500

const chunksOf = function* <Item>(items: readonly Item[]) {
  for (let first = 0; first < items.length; first += together) yield items.slice(first, first + together)
}

/**
 * The lives of what is in Redis. PostgreSQL knows the epoch of the present one; Redis has it beside the checkpoints. A
 * Redis that was emptied has none, one that was put back to an earlier life has another: both are begun anew. One that
 * was put back within its life has older checkpoints and the scores that belong to them, and goes on from there.
 */
export const createRedisEpochs = (deps: {
  readonly redis: RedisConnection
  readonly database: Database
  readonly keys: RedisLeaderboardKeys
  readonly logger: Logger
  /** What it is begun as: served at once, or built beside the live one. */
  readonly role: 'live' | 'building'
  /** Keeps what is served from being changed until the transaction ends. */
  readonly lock: (transaction: Queryable) => Promise<void>
}) => {
  const { redis, database, keys, logger, role, lock } = deps
  let prepared: { readonly epoch: string; readonly logIdentity: string } | undefined

  const present = (): { readonly epoch: string; readonly logIdentity: string } => {
    if (!prepared) throw new Error(`the leaderboards ${keys.meta} were not prepared`)
    return prepared
  }

  const isIntact = async (epoch: string): Promise<boolean> => {
    const { counts, hours, skipped, board } = keys.of(epoch)
    const names = await redis.run((client) => client.hkeys(counts))
    const ask = (some: readonly string[]) =>
      redis.evaluate<number>(intactScript, [keys.meta, counts, hours, skipped, ...some.map(board)], [epoch, ...some])
    if (names.length === 0) return (await ask([])) === 1
    for (const some of chunksOf(names)) if ((await ask(some)) !== 1) return false
    return true
  }

  const fits = (state: GenerationState): boolean =>
    role === 'live' ? state === 'live' : state !== 'live' && state !== 'held'

  /** Whether a writer of this role may go on with it. */
  const isOurs = async (epoch: string): Promise<boolean> =>
    fits(((await redis.run((client) => client.hget(keys.meta, 'state'))) ?? 'live') as GenerationState) &&
    isIntact(epoch)

  const knownEpoch = async (transaction: Queryable): Promise<string | undefined> => {
    const [row] = await transaction.query<{ epoch: string }>(
      'select epoch from platform.store_epochs where store = $1',
      [keys.meta],
    )
    return row?.epoch
  }

  /** Removes what was left of lives that are over. */
  const collectGarbage = (): Promise<void> =>
    redis.run(async (client) => {
      for (const epoch of await client.smembers(keys.garbage)) {
        const { counts, hours, skipped, board } = keys.of(epoch)
        for (const names of chunksOf(await client.hkeys(counts))) await client.unlink(...names.map(board))
        await client.unlink(counts, hours, skipped)
        await client.srem(keys.garbage, epoch)
      }
    })

  const begin = async (
    logIdentity: string,
    how: { readonly evenWhenIntact: boolean; readonly head?: bigint; readonly record?: StoreBatch['record'] },
  ): Promise<void> => {
    const epoch = await database.transaction(async (transaction) => {
      // Several processes notice a loss at once; one of them begins anew, and the others find it begun.
      await lock(transaction)
      const before = await knownEpoch(transaction)
      if (before !== undefined && !how.evenWhenIntact && (await isOurs(before))) return before
      const next = randomUUID()
      if (!how.evenWhenIntact && before !== undefined)
        logger.warn({ leaderboards: keys.meta }, 'Redis has lost the leaderboards; they are rebuilt from the log')
      await how.record?.(transaction)
      await redis.evaluate(
        beginScript,
        [keys.meta, keys.garbage],
        [next, logIdentity, how.head === undefined || how.head === 0n ? '' : String(how.head), before ?? '', role],
      )
      // Redis first: should this not commit, the next one to look finds an epoch that nobody knows, and begins anew.
      await transaction.query(
        `insert into platform.store_epochs (store, epoch) values ($1, $2)
         on conflict (store) do update set epoch = excluded.epoch, begun_at = now()`,
        [keys.meta, next],
      )
      return next
    }, patient)
    prepared = { epoch, logIdentity }
  }

  return {
    present,
    /** The epoch that PostgreSQL knows of it. */
    known: () => knownEpoch(database),
    prepare: async (logIdentity: string, anew: BeginAnew | undefined): Promise<void> => {
      const epoch = await knownEpoch(database)
      if (epoch !== undefined && (await isOurs(epoch))) prepared = { epoch, logIdentity }
      else await begin(logIdentity, { ...anew, evenWhenIntact: false })
      await collectGarbage()
    },
    reset: async (record: StoreBatch['record']): Promise<void> => {
      await begin(present().logIdentity, { record, evenWhenIntact: true })
      await collectGarbage()
    },
    /** False also when it is another's turn to write: what is kept is not served, what is served is not built. */
    intact: () => isOurs(present().epoch),
    /** The epoch that it was built under. @throws EngineUnavailable when it is not there whole: whoever builds it begins anew */
    whole: async (): Promise<string> => {
      const epoch = await knownEpoch(database)
      if (epoch === undefined || !(await isOurs(epoch)))
        throw new EngineUnavailable('Redis', new Error(`${keys.meta} is not there as it was built`))
      return epoch
    },
    /** Removes all that there is of it. */
    end: async (): Promise<void> => {
      await redis.evaluate(endScript, [keys.meta, keys.garbage], [(await knownEpoch(database)) ?? ''])
      await collectGarbage()
      // Last: as long as it is known, who died here is followed by somebody who finishes.
      await database.query('delete from platform.store_epochs where store = $1', [keys.meta])
    },
  }
}

export type RedisEpochs = ReturnType<typeof createRedisEpochs>
