import type { Swap } from '../../platform/checkpointed-store.ts'
import { openDatabase } from '../../platform/database.ts'
import { openLeases } from '../../platform/leases.ts'
import { silentLogger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import type { Projection } from '../../projections/projection.ts'
import type { Rebuild } from '../../projections/rebuild.ts'
import { createRebuildRecords } from '../../projections/rebuild-records.ts'
import { createRebuildService } from '../../projections/rebuild-service.ts'
import { createRebuilder, type RebuilderDependencies } from '../../projections/rebuilder.ts'
import { eventually } from './eventually.ts'
import type { ProjectionRig } from './projection-rig.ts'

export const operator = { operator: 'ada', reason: 'a test' }

/** Rebuilds over a projection rig: the service, and rebuilders that can be started and killed. */
export const openRebuildRig = (
  rig: Pick<ProjectionRig, 'database' | 'store'>,
  projections: readonly Projection[],
  lanes = 2,
) => {
  const { database, store } = rig
  const logger = silentLogger
  const records = createRebuildRecords(database)
  const service = createRebuildService({ projections, store, records, database, logger, lanes })
  const running: (() => Promise<void>)[] = []

  /** A process that does rebuilds. */
  const startRebuilder = (options: Partial<RebuilderDependencies> = {}) => {
    const leases = openLeases({ database, logger, retryMs: 20 })
    const stopping = new AbortController()
    const rebuilder = createRebuilder({
      ...{ projections, store, records, database, leases, logger },
      partitions: [0],
      verify: async () => undefined,
      metrics: createMetrics(),
      pollMs: 20,
      ...options,
    })
    const ended = rebuilder.run(stopping.signal)
    const stop = async () => {
      stopping.abort()
      await ended
      await leases.close()
    }
    running.push(stop)
    return { stop }
  }

  const last = async (projection: string): Promise<Rebuild> => {
    const [rebuild] = await service.rebuilds(projection)
    if (!rebuild) throw new Error(`${projection} was never rebuilt`)
    return rebuild
  }

  return {
    service,
    records,
    startRebuilder,
    last,
    /** Until the rebuild is in such a state. */
    comes: (projection: string, state: Rebuild['state']) =>
      eventually(
        () => last(projection),
        (rebuild) => rebuild.state === state,
        { what: `the rebuild of ${projection} being ${state}` },
      ),
    close: async () => {
      for (const stop of running) await stop()
    },
  }
}

export type RebuildRig = ReturnType<typeof openRebuildRig>

/** Comes between a rebuild and its swap: told what is to be changed, it may do something first, or change that. */
export const interposed = (projection: Projection, swapping: (change: Swap) => Promise<Swap>): Projection => {
  const { generations } = projection
  if (!generations) throw new Error(`${projection.name} has no generations`)
  return {
    ...projection,
    generations: { ...generations, swap: async (change) => generations.swap(await swapping(change)) },
  }
}

/** A pool as another process has it. */
export const secondPool = (url: string) => openDatabase(url, { max: 6, logger: silentLogger })
