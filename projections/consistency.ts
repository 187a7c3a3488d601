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
 * checkpoints, all that anybody waits for in one query, as long as somebody waits.
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
  let polling = false

  const reached = (projection: string, partition: number, position: bigint): void => {
    for (const { missing, settle, position: wanted } of waiters) {
      const behind = missing.get(projection)
      if (position < wanted || !behind?.delete(partition) || behind.size > 0) continue
      missing.delete(projection)
      if (missing.size === 0) settle(true)
    }
  }

  const readElsewhere = async (name: string, reader: CheckpointReader): Promise<void> => {
    for (const { partition, position } of await reader.checkpoints(name)) reached(name, partition, position)
  }

  const readDatabase = async (names: readonly string[]): Promise<void> => {
    if (names.length === 0) return
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

  /** One engine that is away keeps nobody from what the others say. */
  const readCheckpoints = async (): Promise<void> => {
    const names = [...new Set([...waiters].flatMap((waiter) => [...waiter.missing.keys()]))]
    const here = names.filter((name) => !elsewhere[name])
    const readings = [
      readDatabase(here),
      ...names.flatMap((name) => (elsewhere[name] ? [readElsewhere(name, elsewhere[name])] : [])),
    ]
    for (const reading of await Promise.allSettled(readings))
      if (reading.status === 'rejected') logger.debug({ err: reading.reason }, 'checkpoints could not be read')
  }

  const poll = async (): Promise<void> => {
    if (polling) return
    polling = true
    while (waiters.size > 0) {
      await readCheckpoints()
      if (waiters.size > 0) await pause(pollMs)
    }
    polling = false
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
        void poll()
      }),
  }
}
