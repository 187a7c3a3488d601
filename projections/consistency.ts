import type { CheckpointReader } from '../platform/checkpointed-store.ts'
import type { Database } from '../platform/database.ts'
import type { Logger } from '../platform/logging.ts'
import { isSealed } from '../platform/partitioning.ts'
import { pause } from '../platform/pause.ts'

export interface ConsistencyWaiter {
  /**
   * Waits until every named projection has handled the log up to a position, in all its partitions.
   *
   * @param ms how long to wait at most
   * @returns false when the time ran out first or the signal aborted
   */
  waitFor(projections: readonly string[], position: bigint, ms: number, signal?: AbortSignal): Promise<boolean>
  /**
   * Tells of a checkpoint that a projector of this process has committed: its `onCheckpoint`.
   */
  report(projection: string, partition: number, position: bigint): void
}

interface Waiter {
  readonly position: bigint
  /** Projections that are not there yet, with the partitions of each that are not. */
  readonly missing: Map<string, Set<number>>
  readonly settle: (reached: boolean) => void
}

/**
 * Knows how far projections are: from the projectors of this process at once, from those of others by reading their
 * checkpoints, all that anybody waits for in one query to each engine, as long as somebody waits.
 *
 * @param deps.partitions of the feed: a projection is as far as the partition that is furthest behind
 * @param deps.elsewhere of the projections, by name, whose checkpoints are not in PostgreSQL
 */
export const createConsistencyWaiter = (deps: {
  readonly database: Database
  readonly logger: Logger
  /** How often checkpoints are read while somebody waits, milliseconds. */
  readonly pollMs?: number
  readonly partitions?: readonly number[]
  readonly elsewhere?: Readonly<Record<string, CheckpointReader>>
}): ConsistencyWaiter => {
  const { database, logger, pollMs = 15, partitions = [0], elsewhere = {} } = deps
  // No position is remembered between waits: a rebuild sets checkpoints back.
  const waiters = new Set<Waiter>()
  /** The sources of checkpoints that are being read. */
  const polling = new Set<string>()

  const reached = (projection: string, partition: number, position: bigint): void => {
    for (const { missing, settle, position: wanted } of waiters) {
      const behind = missing.get(projection)
      if (position < wanted || !behind?.delete(partition) || behind.size > 0) continue
      missing.delete(projection)
      if (missing.size === 0) settle(true)
    }
  }

  const readDatabase = async (names: readonly string[]): Promise<void> => {
    const rows = await database.execute<{ consumer: string; partition: number; position: bigint }>(
      {
        name: 'consistency_checkpoints',
        text: `select consumer, partition, position from platform.checkpoints where consumer = any ($1::text[])`,
      },
      [names],
    )
    for (const { consumer, partition, position } of rows)
      if (!isSealed(position)) reached(consumer, partition, position)
  }

  const readElsewhere = async (name: string, reader: CheckpointReader): Promise<void> => {
    for (const { partition, position } of await reader.checkpoints(name)) reached(name, partition, position)
  }

  /** The projections that somebody waits for. */
  const wanted = (): string[] => [...new Set([...waiters].flatMap(({ missing }) => [...missing.keys()]))]

  /** Reads for as long as somebody waits for one of these. */
  const keepReading = async (
    source: string,
    names: () => readonly string[],
    read: (names: readonly string[]) => Promise<void>,
  ): Promise<void> => {
    if (polling.has(source)) return
    polling.add(source)
    for (let missing = names(); missing.length > 0; missing = names()) {
      await read(missing).catch((err: unknown) => logger.debug({ err, source }, 'checkpoints could not be read'))
      await pause(pollMs)
    }
    polling.delete(source)
  }

  /** Each engine in a loop of its own: one that is away or slow keeps nobody from what the others say. */
  const poll = (): void => {
    void keepReading('PostgreSQL', () => wanted().filter((name) => !elsewhere[name]), readDatabase)
    for (const [name, reader] of Object.entries(elsewhere)) {
      const ours = () => wanted().filter((projection) => projection === name)
      void keepReading(name, ours, () => readElsewhere(name, reader))
    }
  }

  return {
    report: (projection, partition, position) => {
      // An engine elsewhere answers for itself: what was written there may not be visible to who reads it yet.
      if (waiters.size > 0 && !elsewhere[projection]) reached(projection, partition, position)
    },
    waitFor: (projections, position, ms, signal) =>
      new Promise((resolve) => {
        // Nothing comes before the first event, and a projection that has seen none has no checkpoint.
        if (projections.length === 0 || position <= 0n) return resolve(true)
        if (signal?.aborted) return resolve(false)
        const giveUp = () => waiter.settle(false)
        const timer = setTimeout(giveUp, ms)
        const waiter: Waiter = {
          position,
          missing: new Map(projections.map((projection) => [projection, new Set(partitions)])),
          settle: (outcome) => {
            waiters.delete(waiter)
            clearTimeout(timer)
            signal?.removeEventListener('abort', giveUp)
            resolve(outcome)
          },
        }
        signal?.addEventListener('abort', giveUp)
        waiters.add(waiter)
        poll()
      }),
  }
}
