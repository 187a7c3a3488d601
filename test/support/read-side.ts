import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../platform/clock.ts'
import { createHttpServer, type HttpServer } from '../../platform/http-server.ts'
import { openLeases } from '../../platform/leases.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../../platform/postgres-event-store.ts'
import { createPostgresLeaderboardStore } from '../../platform/postgres-leaderboard-store.ts'
import { createConsistencyWaiter } from '../../projections/consistency.ts'
import { leaderboards as leaderboardsProjection } from '../../projections/leaderboards.ts'
import { createParkedEvents } from '../../projections/parked-events.ts'
import { createProjector } from '../../projections/projector.ts'
import { postgresProjections } from '../../projections/registry.ts'
import type { ReadApiDependencies } from '../../read-api/dependencies.ts'
import { type LiveOptions, registerLive } from '../../read-api/live.ts'
import { registerReadApi } from '../../read-api/routes.ts'
import { encodeEvent } from '../../schemas/codec.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import type { DomainEvent } from '../../schemas/events.ts'
import type { PersonalData, Sealed } from '../../schemas/primitives.ts'
import { openTestDatabase, type TestDatabase } from './postgres.ts'
import { rebuildDouble } from './rebuild-double.ts'

const noSearch: ReadApiDependencies['searchIndex'] = {
  products: { search: async () => [] },
  orders: { search: async () => [] },
}

/** Sealing without secrets: the key's id is all there is to it. */
const createTestVault = () => {
  const persons = new Map<string, PersonalData>()
  return {
    seal: (person: PersonalData): Sealed => {
      const keyId = randomUUID()
      persons.set(keyId, person)
      return { keyId, iv: 'AAAA', tag: 'AAAA', ciphertext: 'c2VhbGVk' }
    },
    open: async (sealed: readonly Sealed[]) => sealed.map(({ keyId }) => persons.get(keyId) ?? null),
    gone: async (keyIds: readonly string[]) => new Set(keyIds.filter((keyId) => !persons.has(keyId))),
    destroy: async (keyIds: readonly string[]) => {
      for (const keyId of keyIds) persons.delete(keyId)
      return keyIds.length
    },
  }
}

export interface ReadSide {
  readonly server: HttpServer
  readonly database: TestDatabase['database']
  readonly store: PostgresEventStore
  readonly vault: ReturnType<typeof createTestVault>
  readonly url: string
  readonly liveUrl: string
  /** Appends events to a stream, whatever its revision. @returns position of the last one */
  record(stream: string, ...events: DomainEvent[]): Promise<bigint>
  /** Waits until every projection has the whole log. */
  settled(): Promise<void>
  /** Starts the projections, which otherwise run from the beginning. */
  project(): void
  close(): Promise<void>
}

/** The read side over a fresh database, its projections running, listening on a free port. */
export const openReadSide = async (
  options: {
    readonly live?: LiveOptions
    readonly projecting?: boolean
    readonly deps?: Partial<ReadApiDependencies>
  } = {},
): Promise<ReadSide> => {
  const { database, drop } = await openTestDatabase()
  const logger = silentLogger
  const metrics = createMetrics()
  const clock = systemClock
  const store = openPostgresEventStore({ database, logger })
  const leases = openLeases({ database, logger })
  const feed = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
  const vault = createTestVault()
  const leaderboards = createPostgresLeaderboardStore({ database, schema: 'leaderboards', clock })
  const consistency = createConsistencyWaiter({ database, logger })
  const projections = [...postgresProjections({ database, vault }), leaderboardsProjection({ store: leaderboards })]
  const parkedEvents = createParkedEvents({ projections, database, logger, log: store })
  const ending = new AbortController()
  const running: Promise<void>[] = []
  const project = () => {
    for (const projection of projections)
      running.push(createProjector({ projection, feed, log: store, database, logger, metrics }).run(ending.signal))
  }
  if (options.projecting !== false) project()

  const server = createHttpServer({ logger, metrics })
  const deps = {
    database,
    store,
    feed,
    vault,
    consistency,
    leaderboards,
    searchIndex: noSearch,
    parkedEvents,
    rebuilds: rebuildDouble(),
    knownProjections: projections.map(({ name, version }) => ({ name, version, rebuildable: true })),
    clock,
    metrics,
  }
  registerLive(server, { ...deps, logger }, options.live)
  registerReadApi(server, { ...deps, ...options.deps })
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as AddressInfo

  return {
    server,
    database,
    store,
    vault,
    url: `http://127.0.0.1:${port}`,
    liveUrl: `ws://127.0.0.1:${port}/v1/live`,
    record: async (stream, ...events) => {
      const commandId = randomUUID()
      const result = await store.append(
        stream,
        events.map((event) => ({
          id: randomUUID(),
          ...encodeEvent(event),
          metadata: { commandId, correlationId: commandId, causationId: commandId, actor: 'test:nobody' },
        })),
        'any',
      )
      if (result.outcome !== 'appended') throw new Error('an append with any revision cannot conflict')
      return result.position
    },
    settled: async () => {
      const names = projections.map((projection) => projection.name)
      const reached = await consistency.waitFor(names, await store.head(), 90_000)
      if (!reached) throw new Error('the projections did not settle')
    },
    project,
    close: async () => {
      await server.close()
      ending.abort()
      await Promise.all(running)
      feed.close()
      await leases.close()
      await store.close()
      await drop()
    },
  }
}
