import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../platform/logging.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { orderLife } from '../test/support/order-events.ts'
import { append, createTestVault, openProjectionRig } from '../test/support/projection-rig.ts'
import { orderDetails } from './order-details.ts'
import { createPace, type Pace } from './pace.ts'
import { createPostgresProjection } from './postgres-sink.ts'
import { measureRate } from './rebuild-measuring.ts'
import { createRebuildRecords } from './rebuild-records.ts'
import { createRebuildService } from './rebuild-service.ts'

let rig: Awaited<ReturnType<typeof openProjectionRig>>
beforeEach(async () => {
  rig = await openProjectionRig()
})
afterEach(() => rig.close())

const types = namesOf('OrderPlaced', 'OrderConfirmed')
/** Orders, of which those of one customer cannot be applied. */
const projectionFailingFor = (customerId: string) => {
  const definition = orderDetails(createTestVault())
  return createPostgresProjection(rig.database, {
    ...definition,
    apply: async (transaction, schema, events, options) => {
      for (const event of events)
        if (event.type === 'OrderPlaced' && event.data.customerId === customerId) throw new TypeError('poison')
      return definition.apply(transaction, schema, events, options)
    },
  })
}
const appendOrders = async (count: number, customerId: string) => {
  const lives = Array.from({ length: count }, () => orderLife({ customerId }))
  await append(rig.store, ...lives.flatMap((life) => [life.placed, life.confirmed]))
}
const noPace: Pace = { chunkEvents: () => 500, windowEvents: () => 0, rest: async () => undefined }

test('events that cannot be applied are counted and cost nobody a line in the log; nothing is left of them', async () => {
  await appendOrders(3, 'fine')
  await appendOrders(2, 'odd')
  const lines: string[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
  const projection = projectionFailingFor('odd')
  const { database, store } = rig
  const records = createRebuildRecords(database)
  const service = createRebuildService({ projections: [projection], store, records, database, logger, lanes: 1 })
  const [plan] = await service.plan(['order_details'])
  expect(plan).toMatchObject({ eventsTotal: 10n, measured: { events: 10, failed: 4 } })
  const levels = lines.map((line) => JSON.parse(line) as { level: number; msg: string; measuring?: boolean })
  expect(levels.filter(({ msg }) => /an event was parked/.test(msg))).toMatchObject([
    { level: 20, measuring: true },
    { level: 20, measuring: true },
  ])
  expect(levels.filter(({ level }) => level > 20)).toEqual([])
  expect(await rig.rows('select 1 from platform.parked_events')).toEqual([])
})

test('it passes over what an operator has discarded, and no rebuild is said to have done so', async () => {
  await appendOrders(1, 'odd')
  const [event] = (await rig.store.readAll({ after: 0n, limit: 1 })).events
  if (!event) throw new Error('there is no event')
  const { database, store } = rig
  await rig.rows(
    `insert into platform.event_gaps
       (projection, stream, revision, event_id, position, partition, event, attempts, first_at, last_at, operator, reason)
     values ('order_details', '${event.stream}', 0, '${event.id}', ${event.position}, 0, '{}', 1, now(), now(), 'ada', 'a test')`,
  )
  const projections = [projectionFailingFor('odd')]
  const records = createRebuildRecords(database)
  const service = createRebuildService({ projections, store, records, database, logger: silentLogger, lanes: 1 })
  // Without its first event, the second one cannot be applied.
  expect((await service.plan(['order_details']))[0]?.measured).toEqual({ events: 2, failed: 1 })
  expect(await rig.rows('select passed_at from platform.event_gaps')).toEqual([{ passed_at: null }])
})

test('it asks for pages as a rebuild does that does not know whether others are at work', async () => {
  await appendOrders(10, 'fine')
  const { database } = rig
  const limits: number[] = []
  const store: typeof rig.store = {
    ...rig.store,
    readAll: (options) => {
      limits.push(options.limit)
      return rig.store.readAll(options)
    },
  }
  const projections = [projectionFailingFor('nobody')]
  const records = createRebuildRecords(database)
  const service = createRebuildService({ projections, store, records, database, logger: silentLogger, lanes: 1 })
  expect((await service.plan(['order_details']))[0]?.measured).toEqual({ events: 20, failed: 0 })
  expect(Math.max(...limits)).toBe(createPace(rig.store.head).chunkEvents())
})

test('it rests after every chunk, and rests count where they will go on, as the log grows', async () => {
  await appendOrders(10, 'fine')
  const { database } = rig
  const projection = projectionFailingFor('nobody')
  const measured = async (store: typeof rig.store) => {
    let clock = 0
    const rested: number[] = []
    const pace: Pace = {
      chunkEvents: () => 5,
      windowEvents: () => 0,
      rest: async (workedMs) => {
        rested.push(workedMs)
        clock += 1_000_000
      },
    }
    const now = () => (clock += 1)
    const result = await measureRate({ projection, store, database, types, pace, logger: silentLogger, now })
    expect(rested).toHaveLength(4)
    return result?.eventsPerSecond ?? 0
  }
  expect(await measured(rig.store)).toBeGreaterThan(1)
  let grown = 0n
  const growing = { ...rig.store, head: async () => (await rig.store.head()) + (grown++ === 0n ? 0n : 100n) }
  expect(await measured(growing)).toBeLessThan(1)
})

test('one that handles nothing of the log has no rate', async () => {
  await appendOrders(1, 'fine')
  const { store, database } = rig
  const projection = projectionFailingFor('nobody')
  const measured = (names: readonly string[]) =>
    measureRate({ projection, store, database, types: names, pace: noPace, logger: silentLogger })
  expect(await measured([])).toBeUndefined()
  expect(await measured(['product.registered.v1'])).toBeUndefined()
})
