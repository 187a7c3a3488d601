import type { StoreBatch, Swap } from './checkpointed-store.ts'
import type { Database, Queryable } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'
import { consumerOfGeneration, liveGeneration, moveParked } from './read-model-generations.ts'

/** What an engine outside PostgreSQL does for a swap. Each is harmless when repeated. */
export interface GenerationEngine {
  /** Whether this generation is served and can be written, and nothing is left to be done for that. */
  isSettled(generation: number): Promise<boolean>
  /** Serves this generation and lets it be written, whatever was served or held before. */
  settle(generation: number): Promise<void>
  /** Throws when the generation is not there whole. Before the standstill, so it may take its time. */
  check(generation: number): Promise<void>
  /** Nobody writes the generation any more; it is served as it is. */
  hold(generation: number): Promise<void>
  /** Gives `to` the checkpoints of a live generation; undefined: it keeps its own. */
  place(change: Swap, position: bigint | undefined): Promise<void>
  /** Removes a generation with all that belongs to it. */
  remove(generation: number): Promise<void>
}

/** Waits for a swap that is under way, which waits for the end of the log. */
const patient = { statementTimeoutMs: 60_000 }

/**
 * The generations of a read model in an engine that knows no transaction with PostgreSQL. A swap, under a lock in PostgreSQL:
 *
 * hold the live one -> reach the end of the log -> checkpoints -> PostgreSQL says which one is live (commit) -> settle
 *
 * The commit decides. Until then readers have the old one, after it they are led to the new one by whoever comes first:
 * the swap itself or, when that has died, the next writer, who finds nothing writable, takes the lock once nobody swaps,
 * and settles what PostgreSQL says. So no hold outlives its swap, and it needs no time limit. No position is written to
 * the old one after the hold, so that readers never step back.
 *
 * @param deps.name of the projection
 */
export const createEngineGenerations = (deps: {
  readonly database: Database
  readonly logger: Logger
  readonly name: string
  readonly engine: GenerationEngine
}) => {
  const { database, logger, name, engine } = deps

  const lock = async (transaction: Queryable, how: '' | '_shared' = ''): Promise<void> => {
    await transaction.query(`select pg_advisory_xact_lock${how}(hashtextextended('orderlog/generations/' || $1, 0))`, [
      name,
    ])
  }

  /** Changes what is live, when nobody swaps; the generation cannot change meanwhile. */
  const alone = <Result>(work: (transaction: Queryable, live: number) => Promise<Result>): Promise<Result> =>
    database.transaction(async (transaction) => {
      await lock(transaction)
      return work(transaction, await liveGeneration(transaction, name))
    }, patient)

  const settle = (): Promise<number> =>
    alone(async (_transaction, live) => {
      await engine.settle(live)
      return live
    })

  return {
    alone,
    /** Until the transaction ends nobody swaps. @throws EngineUnavailable when this generation is not the live one any more */
    keepLive: async (transaction: Queryable, generation: number): Promise<void> => {
      await lock(transaction)
      const live = await liveGeneration(transaction, name)
      if (live !== generation)
        throw new EngineUnavailable(name, new Error(`generation ${live} has become the live one`))
      await engine.settle(generation)
    },
    /** Until the transaction ends nobody else makes this generation. @throws Error when it is the live one */
    keepBeside: async (transaction: Queryable, generation: number): Promise<void> => {
      await transaction.query(`select pg_advisory_xact_lock(hashtextextended('orderlog/generation/' || $1, 0))`, [
        consumerOfGeneration(name, generation),
      ])
      if ((await liveGeneration(transaction, name)) === generation)
        throw new Error(`generation ${generation} of ${name} is live`)
    },
    /** The live generation as PostgreSQL has it written down; 0 when it has not. */
    recorded: async (): Promise<number> => {
      const [row] = await database.query<{ generation: number }>(
        'select generation from platform.projections where name = $1',
        [name],
      )
      return row?.generation ?? 0
    },
    live: () => liveGeneration(database, name),
    /** The generation to write to, after a swap that is under way or was left half done. */
    enter: async (): Promise<number> => {
      const live = await liveGeneration(database, name)
      return (await engine.isSettled(live)) ? live : settle()
    },
    /**
     * Book-keeping of who writes the live generation. Parked events go with their generation in a swap: what was meant for
     * the old one must not come after that.
     *
     * @returns false, and nothing is done, when the generation is live no more
     */
    record: (generation: number, record: NonNullable<StoreBatch['record']>): Promise<boolean> =>
      database.transaction(async (transaction) => {
        await lock(transaction, '_shared')
        if ((await liveGeneration(transaction, name)) !== generation) return false
        await record(transaction)
        return true
      }),
    swap: async (change: Swap): Promise<void> => {
      const { from, to, reach, record } = change
      if ((await liveGeneration(database, name)) !== to) await engine.check(to)
      try {
        await database.transaction(async (transaction) => {
          await lock(transaction)
          const live = await liveGeneration(transaction, name)
          if (live === to) return record(transaction)
          if (live !== from) throw new Error(`generation ${live} of ${name} is live, not ${from}`)
          await engine.hold(from)
          await engine.place(change, await reach?.())
          await moveParked(transaction, name, from, to)
          await record(transaction)
        }, patient)
      } catch (error) {
        // Should this fail, too, the next writer does it.
        await settle().catch((err: unknown) => logger.warn({ err, projection: name }, 'a swap could not be undone yet'))
        throw error
      }
      await settle()
    },
    drop: async (generation: number): Promise<void> =>
      alone(async (transaction, live) => {
        if (generation === live) throw new Error(`generation ${generation} of ${name} is live`)
        await engine.remove(generation)
        // Its number may be given again.
        await transaction.query('delete from platform.parked_events where projection = $1', [
          consumerOfGeneration(name, generation),
        ])
      }),
  }
}

export type EngineGenerations = ReturnType<typeof createEngineGenerations>
