import { parentPort, workerData } from 'node:worker_threads'
import { listenTo, loadShare } from '../projections/rebuild-thread.ts'
import { systemClock as clock } from './clock.ts'
import { openStore } from './compose-event-store.ts'
import { openLeaderboards } from './compose-leaderboards.ts'
import { composeProjections } from './compose-projections.ts'
import type { RebuildThreadData } from './compose-rebuild-threads.ts'
import { openSearchIndex } from './compose-search-index.ts'
import type { Config } from './config.ts'
import { openDatabase } from './database.ts'
import { createLifecycle } from './lifecycle.ts'
import { createLogger } from './logging.ts'
import { createMetrics } from './metrics.ts'
import { createPersonalDataVault } from './personal-data.ts'

/** Engines of read models that are not built are not opened: nothing is to wait for them. */
const withOnly = (config: Config, built: readonly string[]): Config => ({
  ...config,
  ...(built.includes('leaderboards') ? {} : { leaderboards: { kind: 'postgres' } }),
  ...(built.some((name) => name.endsWith('_search')) ? {} : { search: { kind: 'postgres' } }),
})

/** What a thread does that loads generations beside the one that serves. */

const { order, config, url, partitions, connections } = workerData as RebuildThreadData
const port = parentPort
if (!port) throw new Error('this is the program of a thread, not of a process')
// From the start: it may be told to stop while it waits for an engine.
const commands = listenTo(port, order)
const logger = createLogger(config.logLevel).child({ thread: order.share.index + 1 })
const lifecycle = createLifecycle(logger, config.shutdownTimeoutMs)
const needed = withOnly(
  config,
  order.builds.map(({ projection }) => projection),
)
const { stopping } = commands
const opening = { config: needed, roles: [], clock, logger, metrics: createMetrics(), lifecycle, stopping }
// Who writes holds on to a connection, and meanwhile asks for keys of persons: over another pool, or all might wait.
const database = openDatabase(url, { max: 3, logger })
const rebuilding = openDatabase(url, {
  max: Math.max(2, Math.ceil(connections / order.share.of)),
  statementTimeoutMs: 10 * 60_000,
  logger,
})
lifecycle.onStop('the connections to PostgreSQL', () => Promise.all([database.close(), rebuilding.close()]))
const on = { database, queries: database, rebuilding }
try {
  const store = await openStore(opening, on)
  const leaderboards = await openLeaderboards(opening, on, partitions)
  const searchIndex = await openSearchIndex(opening, on)
  const vault = createPersonalDataVault(database)
  const projections = composeProjections(rebuilding, { leaderboards, searchIndex }, vault, 'building')
  await loadShare({
    ...{ order, commands, projections, store, database: rebuilding, logger },
    tell: (report) => port.postMessage(report),
  })
} finally {
  commands.close()
  await lifecycle.stop()
}
