import { randomUUID } from 'node:crypto'
import { systemClock } from '../platform/clock.ts'
import { connectionsFor, roles } from '../platform/config.ts'
import { type Database, openDatabase } from '../platform/database.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { migrate } from '../platform/migrate.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import { createSimulatedPaymentGateway } from '../platform/simulated-payment-gateway.ts'
import { createSnapshotStore } from '../platform/snapshots.ts'
import type { CommandContext } from '../schemas/commands.ts'
import type { NewEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { storedNames } from '../schemas/stored-names.ts'
import { createCommandHandler, type WriteSide } from '../write-side/command-handler.ts'
import type { Bench } from './contender.ts'

export interface Ours {
  readonly url: string
  readonly database: Database
  readonly store: PostgresEventStore
  close(): Promise<void>
}

/** What the composition gives to everything but the queries of customers: half of the default. */
const connections = connectionsFor(roles) / 2

/** Our event store on a fresh, migrated database. */
export const openOurs = async (bench: Bench): Promise<Ours> => {
  const { url } = await bench.createDatabase('ours')
  await migrate(url, logger)
  // Long enough to vacuum a log of a million events on a busy disk.
  const database = openDatabase(url, { max: connections, logger, statementTimeoutMs: 600_000 })
  const store = openPostgresEventStore({ database, logger })
  return {
    url,
    database,
    store,
    close: async () => {
      await store.close()
      await database.close()
    },
  }
}

/** The write side as it is composed; `off` reads the stream for every command. */
export const openCommands = ({ database, store }: Ours, cache?: 'off'): WriteSide =>
  createCommandHandler({
    store,
    snapshots: createSnapshotStore(database),
    gateway: createSimulatedPaymentGateway({ database }),
    clock: systemClock,
    logger,
    metrics: createMetrics(),
    ...(cache ? { cache } : {}),
  })

export const newContext = (): CommandContext => {
  const commandId = randomUUID()
  return { commandId, correlationId: commandId, causationId: commandId, actor: 'operator:bench' }
}

/** An event as the command handler would hand it to the store. */
export const newEvent = (event: DomainEvent): NewEvent => ({
  id: randomUUID(),
  type: storedNames[event.type],
  data: event.data,
  metadata: newContext(),
})
