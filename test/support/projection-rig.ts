import { v7 as uuid } from 'uuid'
import type { EventStore } from '../../platform/event-store.ts'
import { openLeases } from '../../platform/leases.ts'
import { createLogEventFeed } from '../../platform/log-event-feed.ts'
import { silentLogger } from '../../platform/logging.ts'
import { createMetrics } from '../../platform/metrics.ts'
import { openPostgresEventStore } from '../../platform/postgres-event-store.ts'
import type { Vault } from '../../projections/persons.ts'
import type { Projection } from '../../projections/projection.ts'
import { createProjector, type ProjectorDependencies } from '../../projections/projector.ts'
import { encodeEvent } from '../../schemas/codec.ts'
import { decodeEvent } from '../../schemas/decoding.ts'
import type { RecordedEvent } from '../../schemas/envelope.ts'
import type { DomainEvent } from '../../schemas/events.ts'
import type { PersonalData, Sealed } from '../../schemas/primitives.ts'
import { storedNames } from '../../schemas/stored-names.ts'
import {
  customerStream,
  fulfilmentStream,
  inventoryStream,
  orderStream,
  paymentStream,
  productStream,
} from '../../schemas/streams.ts'
import { eventually } from './eventually.ts'
import { newEvent } from './new-event.ts'
import { openTestDatabase } from './postgres.ts'

/** The stream that an event belongs to. */
export const streamOf = (event: DomainEvent): string => {
  const data = event.data as Partial<Record<string, unknown>> as { orderId: string; sku: string; customerId: string }
  switch (storedNames[event.type].split('.')[0]) {
    case 'order':
      return orderStream(data.orderId)
    case 'payment':
      return paymentStream(data.orderId)
    case 'fulfilment':
      return fulfilmentStream(data.orderId)
    case 'inventory':
      return inventoryStream(data.sku)
    case 'product':
      return productStream(data.sku)
    default:
      return customerStream(data.customerId)
  }
}

/** Seals by encoding; a destroyed key opens nothing. */
export const createTestVault = (): Vault & { seal(keyId: string, person: PersonalData): Sealed } => {
  const destroyed = new Set<string>()
  return {
    seal: (keyId, person) => ({
      keyId,
      iv: '',
      tag: '',
      ciphertext: Buffer.from(JSON.stringify(person)).toString('base64'),
    }),
    open: async (sealed) =>
      sealed.map(({ keyId, ciphertext }) =>
        destroyed.has(keyId) || ciphertext === '' ? null : JSON.parse(Buffer.from(ciphertext, 'base64').toString()),
      ),
    gone: async (keyIds) => new Set(keyIds.filter((keyId) => destroyed.has(keyId))),
    destroy: async (keyIds) => {
      for (const keyId of keyIds) destroyed.add(keyId)
    },
  }
}

/** Appends events to their streams, one after the other, neighbours of one stream at once. */
export const append = async (store: EventStore, ...events: readonly DomainEvent[]): Promise<bigint> => {
  let last = 0n
  for (let index = 0; index < events.length; ) {
    const first = events[index]
    if (!first) break
    const stream = streamOf(first)
    let end = index + 1
    for (let next = events[end]; next && streamOf(next) === stream; next = events[end]) end += 1
    const batch = events.slice(index, end).map((event) => {
      const { type, data } = encodeEvent(event)
      return { ...newEvent(data, type), id: uuid() }
    })
    const result = await store.append(stream, batch, 'any')
    if (result.outcome !== 'appended') throw new Error(`conflict in ${stream}`)
    last = result.position
    index = end
  }
  return last
}

/**
 * A log with its feed and everything that a projector needs, in a database of its own.
 *
 * @param log a log elsewhere, closed with the rig
 */
export const openProjectionRig = async (log?: EventStore & { close(): Promise<void> }) => {
  const test = await openTestDatabase()
  const { database } = test
  const logger = silentLogger
  const store = log ?? openPostgresEventStore({ database, logger, pollMs: 20 })
  const leases = openLeases({ database, logger, retryMs: 20 })
  const feed = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
  const running: (() => Promise<void>)[] = []

  const start = (projection: Projection, options: Partial<ProjectorDependencies> = {}) => {
    const controller = new AbortController()
    const projector = createProjector({
      projection,
      feed,
      log: store,
      database,
      logger,
      metrics: createMetrics(),
      ...options,
    })
    const ended = projector.run(controller.signal)
    const stop = async () => {
      controller.abort()
      await ended
    }
    running.push(stop)
    return {
      ...projector,
      ended,
      stop,
      /** Until it has stopped and says why. */
      stopped: () =>
        eventually(
          async () => projector.status(),
          ({ state }) => state === 'stopped',
          { what: `${projection.name} stopping` },
        ),
      /** Until the projection has handled all that is in the log now. */
      caughtUp: async () => {
        const head = await store.head()
        await eventually(
          async () => projector.status(),
          (status) => status.position >= head && status.state === 'live',
          { what: `${projection.name} catching up to ${head}` },
        ).catch((error: unknown) => {
          throw new Error(`${String(error)} ${projector.status().state} ${projector.status().error ?? ''}`)
        })
      },
    }
  }

  return {
    ...test,
    store,
    feed,
    leases,
    start,
    rows: <Row>(text: string, values: readonly unknown[] = []) => database.query<Row>(text, values),
    /** Every event of the log as projections see it. */
    history: async (): Promise<RecordedEvent[]> =>
      (await store.readAll({ after: 0n, limit: 100_000 })).events.map(decodeEvent),
    close: async () => {
      for (const stop of running) await stop()
      feed.close()
      await leases.close()
      await store.close()
      await test.drop()
    },
  }
}

export type ProjectionRig = Awaited<ReturnType<typeof openProjectionRig>>
