import { existsSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { LoadOrder } from '../projections/rebuild-thread.ts'
import type { StartThread } from '../projections/rebuild-threads.ts'
import { type Config, rebuildConnections } from './config.ts'

/** What a thread that rebuilds is started with. */
export interface RebuildThreadData {
  readonly order: LoadOrder
  readonly config: Config
  /** Of the migrated database. */
  readonly url: string
  /** To PostgreSQL, of all threads together, for what they write. */
  readonly connections: number
  /** Of the feed. */
  readonly partitions: readonly number[]
}

/** Rows in the making die young; with less room they would be taken for old, which costs more. --max-semi-space-size goes before. */
const youngGenerationMb = 96
/**
 * Far more than a load has, and still what keeps it small: below 2,048 MB, V8 lets the old generation grow to twice of what lives
 * in it until it collects, and above to four times. A thread that would need more is ended, and begins anew; the process goes on.
 * Not more than the process may have itself; --max-old-space-size goes before.
 */
const oldGenerationMb = Math.min(2_000, Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20))

/** Starts threads that load; undefined where the program is not compiled, as threads can only be started of what is. */
export const rebuildThreads = (
  data: Omit<RebuildThreadData, 'order' | 'connections'>,
  program = new URL('compose-rebuild-thread.js', import.meta.url),
): StartThread | undefined => {
  if (!existsSync(program)) return undefined
  return (order) => {
    const workerData: RebuildThreadData = { ...data, order, connections: rebuildConnections }
    return new Worker(program, {
      workerData,
      name: `rebuild ${order.share.index + 1} of ${order.share.of}`,
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb, maxOldGenerationSizeMb: oldGenerationMb },
    })
  }
}
