import { systemClock } from '../platform/clock.ts'
import { rebuildThreads } from '../platform/compose-rebuild-threads.ts'
import { readConfig } from '../platform/config.ts'
import { openDatabase } from '../platform/database.ts'
import { openLeases } from '../platform/leases.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { createPersonalDataVault } from '../platform/personal-data.ts'
import { openPostgresEventStore } from '../platform/postgres-event-store.ts'
import { createPostgresLeaderboardStore } from '../platform/postgres-leaderboard-store.ts'
import { rememberCounts } from '../projections/counted-types.ts'
import { leaderboards } from '../projections/leaderboards.ts'
import { createRebuildRecords } from '../projections/rebuild-records.ts'
import { createRebuildService } from '../projections/rebuild-service.ts'
import { createRebuilder } from '../projections/rebuilder.ts'
import { postgresProjections } from '../projections/registry.ts'

/** A process of its own that does one rebuild and says what it took, so that its memory is that of the rebuild alone. */
const [, , url = '', names = '', upTo = ''] = process.argv
const database = openDatabase(url, { max: 10, logger })
const rebuilding = openDatabase(url, { max: 6, logger, statementTimeoutMs: 600_000 })
const store = openPostgresEventStore({ database, logger })
const leases = openLeases({ database, logger })
const vault = createPersonalDataVault(rebuilding)
const projections = [
  ...postgresProjections({ database: rebuilding, vault }),
  leaderboards({
    store: createPostgresLeaderboardStore({ database: rebuilding, schema: 'leaderboards', clock: systemClock }),
  }),
]
const head = upTo === '' ? store.head : async () => BigInt(upTo)
const startThread = rebuildThreads({ config: readConfig({ ORDERLOG_LOG_LEVEL: 'silent' }), url, partitions: [0] })
const records = createRebuildRecords(database)
const countTypes = rememberCounts({ store, database })
const common = { projections, store: { ...store, head, countTypes }, records, database: rebuilding, logger }
const service = createRebuildService({ ...common, lanes: 2 })
const stopping = new AbortController()
const rebuilder = createRebuilder({
  ...common,
  leases,
  partitions: [0],
  verify: async () => undefined,
  metrics: createMetrics(),
  pollMs: 50,
  ...(startThread ? { startThread } : {}),
}).run(stopping.signal)

const begun = performance.now()
const since = () => (performance.now() - begun) / 1_000
await service.start(names.split(','), { operator: 'bench' })
let half: number | undefined
let loaded: number | undefined
for (;;) {
  const rebuilds = (await service.rebuilds()).filter(({ projection }) => names.split(',').includes(projection))
  const failed = rebuilds.find(({ state }) => state === 'failed')
  if (failed) throw new Error(`${failed.projection}: ${failed.error}`)
  if (half === undefined && rebuilds.every(({ eventsDone, eventsTotal }) => eventsDone * 2n >= eventsTotal))
    half = since()
  if (loaded === undefined && rebuilds.every(({ phase }) => phase !== 'loading')) loaded = since()
  if (rebuilds.every(({ state }) => state === 'done')) break
  await pause(50)
}
const seconds = since()
stopping.abort()
await rebuilder
// maxRSS is in kilobytes.
console.log(JSON.stringify({ seconds, half, loaded, peakRssMb: Math.round(process.resourceUsage().maxRSS / 1_024) }))
await leases.close()
await store.close()
await Promise.all([database.close(), rebuilding.close()])
