import { type Feed, openFeed, type Relay } from './compose-event-feed.ts'
import { openStore } from './compose-event-store.ts'
import { type Leaderboards, openLeaderboards } from './compose-leaderboards.ts'
import type { Connections, Opening } from './compose-opening.ts'
import { openSearchIndex, type Search } from './compose-search-index.ts'
import { connectionsFor, rebuildConnections } from './config.ts'
import { openDatabase } from './database.ts'
import type { EventFeed } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import type { HealthCheck } from './health.ts'
import { refuseUnfinishedImport } from './import-session.ts'
import { type Leases, openLeases } from './leases.ts'

/** Every port on the engine that the configuration chose for it. */
export interface Engines extends Connections {
  readonly leases: Leases
  readonly store: EventStore
  readonly feed: EventFeed
  readonly partitionOf: Feed['partitionOf']
  readonly relay: Relay | undefined
  readonly leaderboards: Leaderboards
  readonly searchIndex: Search
  /** One for each engine that this process uses. */
  readonly checks: Readonly<Record<string, HealthCheck>>
  /** Which engine serves what, for people. */
  readonly names: Readonly<Record<string, string>>
}

/**
 * Opens every engine; the lifecycle closes them again.
 *
 * @param url of the migrated database
 */
export const openEngines = async (opening: Opening, url: string): Promise<Engines> => {
  const { config, roles, logger, lifecycle } = opening
  const connections = config.databaseConnections ?? connectionsFor(roles)
  const half = Math.floor(connections / 2)
  const database = openDatabase(url, { max: connections - half, logger })
  const queries = openDatabase(url, { max: half, logger })
  // Connects when there is something to rebuild, and lets go of its connections soon afterwards.
  const rebuilding = openDatabase(url, { max: rebuildConnections, statementTimeoutMs: 10 * 60_000, logger })
  lifecycle.onStop('the connections to PostgreSQL', () =>
    Promise.all([database.close(), queries.close(), rebuilding.close()]),
  )
  await refuseUnfinishedImport(database)
  const on = { database, queries, rebuilding }
  const store = await openStore(opening, on)
  const leases = openLeases({ database, logger })
  lifecycle.onStop('the leases', leases.close, { group: 'engines' })
  const { feed, partitionOf, relay, check: kafka } = await openFeed(opening, on, store, leases)
  const leaderboards = await openLeaderboards(opening, on, feed.partitions)
  const searchIndex = await openSearchIndex(opening, on)
  // Who neither writes nor asks them does not depend on them.
  const reads = roles.includes('projections') || roles.includes('read-api')
  const consumes = roles.some((role) => role === 'projections' || role === 'sagas' || role === 'relay')
  return {
    ...on,
    leases,
    store,
    feed,
    partitionOf,
    relay,
    leaderboards,
    searchIndex,
    checks: {
      postgresql: async () => {
        await queries.query('select 1')
        return { ok: true }
      },
      'event-store': async () => {
        await store.head()
        return { ok: true }
      },
      ...(consumes && kafka ? { kafka } : {}),
      ...(reads && leaderboards.check ? { redis: leaderboards.check } : {}),
      ...(reads && searchIndex.check ? { elasticsearch: searchIndex.check } : {}),
    },
    names: {
      database: config.database.kind === 'embedded' ? 'PostgreSQL (embedded)' : 'PostgreSQL',
      eventStore: config.eventStore.kind === 'postgres' ? 'PostgreSQL' : 'EventStoreDB',
      eventFeed: config.eventFeed.kind === 'log' ? 'the log itself' : 'Kafka',
      leaderboards: config.leaderboards.kind === 'postgres' ? 'PostgreSQL' : 'Redis',
      search: config.search.kind === 'postgres' ? 'PostgreSQL' : 'Elasticsearch',
      paymentGateway: 'simulated',
    },
  }
}
