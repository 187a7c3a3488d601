import { randomUUID } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { EngineUnavailable, NeverSent } from '../platform/failures.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import type { PaymentGateway } from '../platform/payment-gateway.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import { createSnapshotStore } from '../platform/snapshots.ts'
import type { Command, CommandContext } from '../schemas/commands.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { inventoryStream } from '../schemas/streams.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { type CommandHandlerDependencies, createCommandHandler } from './command-handler.ts'

let test: TestDatabase
let store: PostgresEventStore
const at = '2026-11-21T09:30:00.000Z'

beforeAll(async () => {
  test = await openTestDatabase()
  store = openPostgresEventStore({ database: test.database, logger: silentLogger })
})
afterAll(async () => {
  await store.close()
  await test.drop()
})

const noGateway: PaymentGateway = {
  authorise: async () => ({ outcome: 'unknown' }),
  capture: async () => ({ outcome: 'unknown' }),
  void: async () => ({ outcome: 'unknown' }),
  refund: async () => ({ outcome: 'unknown' }),
  find: async () => ({ outcome: 'absent' }),
}

const open = (options: Partial<CommandHandlerDependencies> = {}) =>
  createCommandHandler({
    store,
    snapshots: createSnapshotStore(test.database),
    gateway: noGateway,
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetrics(),
    ...options,
  })

const context = (commandId: string = randomUUID()): CommandContext => ({
  commandId,
  correlationId: randomUUID(),
  causationId: commandId,
  actor: 'operator',
})
const receive = (sku: string, quantity: number): Command => ({ type: 'ReceiveStock', at, sku, quantity })
const reserve = (sku: string, quantity = 1, orderId: string = randomUUID()): Command => ({
  type: 'ReserveStock',
  at,
  sku,
  orderId,
  quantity,
})
const typesOf = async (sku: string) =>
  (await store.readStream(inventoryStream(sku))).events.map((stored) => decodeEvent(stored).type)
const code = (code: string) => expect.objectContaining({ code })

describe('the command handler', () => {
  it('answers with what it appended and where', async () => {
    const handler = open()
    const sku = randomUUID()
    const outcome = await handler.handle(receive(sku, 5), context())
    expect(outcome).toMatchObject({ stream: `inventory-${sku}`, revision: 0n, events: [{ type: 'StockReceived' }] })
    expect(outcome.position).toBe((await store.readStream(inventoryStream(sku))).events[0]?.position)
  })

  it('sells the last unit to one of fifty buyers', async () => {
    const handler = open()
    const sku = randomUUID()
    await handler.handle(receive(sku, 1), context())
    const buyers = await Promise.allSettled(Array.from({ length: 50 }, () => handler.handle(reserve(sku), context())))
    expect(buyers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const buyer of buyers) if (buyer.status === 'rejected') expect(buyer.reason).toEqual(code('out-of-stock'))
    expect(await typesOf(sku)).toEqual(['StockReceived', 'StockReserved'])
  })

  it('lets many processes sell one product without ever selling more than there is', async () => {
    const sku = randomUUID()
    const processes = [open(), open(), open({ cache: 'off' })]
    await open().handle(receive(sku, 60), context())
    const buyers = await Promise.allSettled(
      Array.from({ length: 90 }, (_, n) => processes[n % 3]?.handle(reserve(sku), context())),
    )
    expect(buyers.filter(({ status }) => status === 'fulfilled')).toHaveLength(60)
    for (const buyer of buyers) if (buyer.status === 'rejected') expect(buyer.reason).toEqual(code('out-of-stock'))
    expect((await typesOf(sku)).filter((type) => type === 'StockReserved')).toHaveLength(60)
  })

  it('appends together what waited together, each event with the metadata of its own command', async () => {
    const appends: number[] = []
    const counting: EventStore = {
      ...store,
      append: (stream, events, expected) => {
        appends.push(events.length)
        return store.append(stream, events, expected)
      },
    }
    const handler = open({ store: counting })
    const sku = randomUUID()
    const contexts = Array.from({ length: 30 }, () => context())
    await Promise.all(contexts.map((one) => handler.handle(receive(sku, 1), one)))
    expect(appends.length).toBeLessThan(5)
    const { events } = await store.readStream(inventoryStream(sku))
    expect(events.map((event) => event.metadata.commandId)).toEqual(contexts.map((one) => one.commandId))
    expect(events.map((event) => event.revision)).toEqual(contexts.map((_, index) => BigInt(index)))
  })

  it('does not let a refused command disturb its neighbours', async () => {
    const handler = open()
    const sku = randomUUID()
    const outcomes = await Promise.allSettled([
      handler.handle(receive(sku, 5), context()),
      handler.handle(reserve(sku, 9), context()),
      handler.handle({ type: 'ReceiveStock', at: 'yesterday', sku, quantity: 1 }, context()),
      handler.handle(reserve(sku, 5), context()),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect(await typesOf(sku)).toEqual(['StockReceived', 'StockReserved'])
  })

  it('refuses nothing by what it remembers before it has asked the log', async () => {
    const [here, elsewhere] = [open(), open()]
    const sku = randomUUID()
    await here.handle(receive(sku, 1), context())
    await here.handle(reserve(sku), context())
    await elsewhere.handle(receive(sku, 1), context())
    expect(await here.handle(reserve(sku), context())).toMatchObject({
      revision: 3n,
      events: [{ type: 'StockReserved' }],
    })
  })

  it('finds nothing left to do only when the log says so', async () => {
    const [here, elsewhere] = [open(), open()]
    const sku = randomUUID()
    const orderId = randomUUID()
    await here.handle(receive(sku, 5), context())
    await here.handle(reserve(sku, 1, orderId), context())
    await elsewhere.handle({ type: 'ReleaseStock', at, sku, orderId }, context())
    await expect(here.handle(reserve(sku, 1, orderId), context())).rejects.toEqual(code('reservation-settled'))
  })

  it('gives up after a bounded number of conflicts', async () => {
    const losing: EventStore = {
      ...store,
      append: async (_, __, expected) => ({ outcome: 'conflict', expected, actual: 7n }),
    }
    const sku = randomUUID()
    await expect(open({ store: losing }).handle(receive(sku, 1), context())).rejects.toEqual(code('concurrent-update'))
  })

  it('repeats an append whose fate is unknown, and it happens once', async () => {
    let lost = 0
    const losingReplies: EventStore = {
      ...store,
      append: async (stream, events, expected) => {
        const result = await store.append(stream, events, expected)
        lost += 1
        if (lost === 1) throw new EngineUnavailable('PostgreSQL', new Error('connection lost'))
        return result
      },
    }
    const sku = randomUUID()
    await open({ store: losingReplies }).handle(receive(sku, 1), context())
    expect(await typesOf(sku)).toEqual(['StockReceived'])
  })

  it('does not queue again for an append that never had its turn', async () => {
    let appends = 0
    const crowded: EventStore = {
      ...store,
      append: async () => {
        appends += 1
        throw new NeverSent('PostgreSQL', 'it did not get to this')
      },
    }
    const handled = open({ store: crowded }).handle(receive(randomUUID(), 1), context())
    await expect(handled).rejects.toBeInstanceOf(EngineUnavailable)
    expect(appends).toBe(1)
  })

  it('says that the engine is away, and is right again when it is back', async () => {
    let away = true
    const failing: EventStore = {
      ...store,
      readHistory: (stream) =>
        away ? Promise.reject(new EngineUnavailable('PostgreSQL', new Error('refused'))) : store.readHistory(stream),
    }
    const handler = open({ store: failing })
    const sku = randomUUID()
    await expect(handler.handle(receive(sku, 1), context())).rejects.toBeInstanceOf(EngineUnavailable)
    away = false
    expect(await handler.handle(receive(sku, 1), context())).toMatchObject({ revision: 0n })
  })

  it('takes on a bounded number of commands', async () => {
    const handler = open({ maxUnderWay: 2 })
    const sku = randomUUID()
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => handler.handle(receive(sku, 1), context())))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    expect(outcomes[2]).toMatchObject({ reason: { code: 'overloaded' } })
    expect(await handler.handle(receive(sku, 1), context())).toMatchObject({ revision: 2n })
  })

  it('counts the conflicts and the outcomes', async () => {
    const metrics = createMetrics()
    const [here, elsewhere] = [open({ metrics }), open()]
    const sku = randomUUID()
    await here.handle(receive(sku, 1), context())
    await elsewhere.handle(receive(sku, 1), context())
    await here.handle(receive(sku, 1), context())
    const text = await metrics.registry.metrics()
    expect(text).toContain('orderlog_command_conflicts_total{aggregate="inventory"} 1')
    expect(text).toContain('orderlog_command_seconds_count{type="ReceiveStock",outcome="done"} 2')
  })
})

describe('an expected revision', () => {
  it('is compared with the stream as it is at the command’s turn', async () => {
    const handler = open()
    const sku = randomUUID()
    await handler.handle(receive(sku, 1), context())
    const outcomes = await Promise.allSettled([
      handler.handle(receive(sku, 1), context(), { expectedRevision: 0n }),
      handler.handle(receive(sku, 1), context(), { expectedRevision: 0n }),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'precondition-failed', details: { actual: '1' } } })
  })

  it('fails when there is no stream yet', async () => {
    const never = open().handle(receive(randomUUID(), 1), context(), { expectedRevision: 0n })
    await expect(never).rejects.toEqual(code('precondition-failed'))
  })
})

describe('a command that is repeated', () => {
  it('is recognised anywhere in the stream when it says that it may be a repeat', async () => {
    const sku = randomUUID()
    const first = context()
    await open().handle(receive(sku, 5), first)
    const later = open()
    for (let n = 0; n < 3; n += 1) await later.handle(receive(sku, 1), context())
    expect(await open().handle(receive(sku, 5), first, { repeated: true })).toMatchObject({ revision: 3n, events: [] })
    expect(await later.handle(receive(sku, 5), first, { repeated: true })).toMatchObject({ revision: 3n, events: [] })
  })

  it('is recognised when its first run is still under way', async () => {
    const sku = randomUUID()
    const same = context()
    const [here, elsewhere] = [open(), open()]
    await here.handle(receive(sku, 1), context())
    await Promise.all([
      here.handle(receive(sku, 5), same),
      here.handle(receive(sku, 5), same, { repeated: true }),
      elsewhere.handle(receive(sku, 5), same, { repeated: true }),
      elsewhere.handle(receive(sku, 1), context()),
    ])
    expect(await typesOf(sku)).toHaveLength(3)
  })

  it('is recognised after the aggregate has forgotten it', async () => {
    const sku = randomUUID()
    const handler = open()
    const [sold, shipped] = [randomUUID(), context()]
    await handler.handle(receive(sku, 9), context())
    await handler.handle(reserve(sku, 1, sold), context())
    await handler.handle({ type: 'CommitStock', at, sku, orderId: sold }, shipped)
    for (const hour of ['10', '11', '12'])
      await handler.handle(
        { type: 'ReleaseStock', at: `2026-11-21T${hour}:30:00.000Z`, sku, orderId: randomUUID() },
        context(),
      )
    expect(await handler.handle({ type: 'CommitStock', at, sku, orderId: sold }, shipped)).toMatchObject({ events: [] })
    const stranger = handler.handle({ type: 'CommitStock', at, sku, orderId: sold }, context())
    await expect(stranger).rejects.toEqual(code('reservation-not-found'))
  })
})

describe('a command that may have been run before', () => {
  it('is looked for no further back than its id was made', async () => {
    const sku = randomUUID()
    const busy = open()
    await Promise.all(Array.from({ length: 1_200 }, () => busy.handle(receive(sku, 1), context())))
    let pages = 0
    const handler = open({
      store: {
        ...store,
        readStream: (stream, options) => {
          if (options?.direction === 'backwards') pages += 1
          return store.readStream(stream, options)
        },
      },
    })
    const madeLater = uuidv7({ msecs: Date.now() + 60 * 60_000 })
    await handler.handle(receive(sku, 1), context(madeLater), { repeated: true })
    expect(pages).toBe(1)
    const again = await handler.handle(receive(sku, 1), context(madeLater), { repeated: true })
    expect(again.events).toEqual([])
    pages = 0
    await handler.handle(receive(sku, 1), context(), { repeated: true })
    expect(pages).toBe(3)
  })
})

describe('snapshots', () => {
  const fill = async (sku: string, count: number) => {
    const handler = open()
    for (let n = 0; n < count; n += 100)
      await Promise.all(Array.from({ length: 100 }, () => handler.handle(receive(sku, 1), context())))
    await handler.settled()
  }
  const reading = () => {
    let events = 0
    const counted: EventStore = {
      ...store,
      readStream: async (stream, options) => {
        const slice = await store.readStream(stream, options)
        events += slice.events.length
        return slice
      },
      readHistory: async (stream) => {
        const history = await store.readHistory(stream)
        events += history.events.length
        return history
      },
    }
    return { counted, events: () => events }
  }

  it('spare a long stream from being read from the beginning', async () => {
    const sku = randomUUID()
    await fill(sku, 600)
    const { counted, events } = reading()
    const { state } = await open({ store: counted }).inventories.handle(
      { type: 'ReserveStock', at, sku, orderId: randomUUID(), quantity: 600 },
      context(),
    )
    expect(state).toMatchObject({ onHand: 600, reserved: 600 })
    expect(events()).toBeLessThan(300)
  })

  it('of another shape are discarded', async () => {
    const sku = randomUUID()
    await fill(sku, 300)
    await test.database.query(`update platform.snapshots set shape = 99, state = '{}' where stream = $1`, [
      inventoryStream(sku),
    ])
    expect(await open().handle(reserve(sku, 300), context())).toMatchObject({ revision: 300n })
  })

  it('of a log that has gone another way are discarded', async () => {
    const sku = randomUUID()
    await fill(sku, 300)
    await test.database.query(
      `update platform.snapshots set event_id = gen_random_uuid(), state = '{"onHand":9000}' where stream = $1`,
      [inventoryStream(sku)],
    )
    await expect(open().handle(reserve(sku, 301), context())).rejects.toEqual(code('out-of-stock'))
  })
})
