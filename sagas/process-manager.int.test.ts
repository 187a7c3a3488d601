import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import { openDatabase } from '../platform/database.ts'
import { StartupError } from '../platform/failures.ts'
import { openLeases } from '../platform/leases.ts'
import { createLogEventFeed } from '../platform/log-event-feed.ts'
import { silentLogger } from '../platform/logging.ts'
import { createMetrics } from '../platform/metrics.ts'
import { openPostgresEventStore } from '../platform/postgres-event-store.ts'
import { createSimulatedPaymentGateway } from '../platform/simulated-payment-gateway.ts'
import { createSnapshotStore } from '../platform/snapshots.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { fulfilmentStream } from '../schemas/streams.ts'
import { eventually } from '../test/support/eventually.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createCommandHandler } from '../write-side/command-handler.ts'
import { createFulfilmentProcessManager } from './process-manager.ts'
import type { ProcessManagerConfig } from './process-manager-config.ts'
import { createOperatorDesk } from './routes.ts'
import { createSagaTables } from './tables.ts'
import { createWatchdog, findStuck, findUnseen } from './watchdog.ts'

const logger = silentLogger
const quick: Partial<ProcessManagerConfig> = {
  ...{ retryBaseMs: 20, retryCapMs: 100, maxAttempts: 3, checkpointEveryMs: 10, drainMs: 2_000, refundCheckMs: 100 },
}

let server: TestDatabase
beforeAll(async () => {
  server = await openTestDatabase()
})
afterAll(() => server.drop())

/** A process' worth: its own pool, log, leases, feed, write side and process manager. */
const openProcess = (config: Partial<ProcessManagerConfig> = {}) => {
  const database = openDatabase(server.url, { max: 6, logger })
  const store = openPostgresEventStore({ database, logger })
  const leases = openLeases({ database, logger, retryMs: 20 })
  const feed = createLogEventFeed({ store, leases, decode: decodeEvent, logger })
  const metrics = createMetrics()
  const gateway = createSimulatedPaymentGateway({ database, lateMs: 300 })
  const commands = createCommandHandler({
    ...{ store, gateway, clock: systemClock, logger, metrics },
    snapshots: createSnapshotStore(database),
  })
  const manager = createFulfilmentProcessManager({
    ...{ feed, store, commands, database, clock: systemClock, logger, metrics },
    config: { ...quick, ...config },
  })
  const stop = new AbortController()
  let running: Promise<void> | undefined
  return {
    ...{ database, store, commands, manager, metrics },
    start: () => {
      running = manager.run(stop.signal)
      return running
    },
    stop: async () => {
      stop.abort()
      await running?.catch(() => undefined)
      feed.close()
      await leases.close()
      await store.close()
      await database.close()
    },
  }
}

type Process = ReturnType<typeof openProcess>
const open = new Set<Process>()
const begin = (config?: Partial<ProcessManagerConfig>): Process => {
  const opened = openProcess(config)
  open.add(opened)
  void opened.start()
  return opened
}
afterEach(async () => {
  await Promise.all([...open].map((each) => each.stop()))
  open.clear()
})

const now = () => new Date().toISOString()
const context = () => {
  const commandId = randomUUID()
  return { commandId, correlationId: commandId, causationId: commandId, actor: 'customer:test' }
}

const stocked = async ({ commands }: Process, quantity: number): Promise<string> => {
  const sku = `sku-${randomUUID()}`
  await commands.handle({ type: 'ReceiveStock', at: now(), sku, quantity }, context())
  return sku
}

const place = async ({ commands }: Process, paymentToken: string, ...skus: readonly string[]): Promise<string> => {
  const orderId = randomUUID()
  const lines = skus.map((sku) => ({ sku, name: sku, quantity: 1, unitPrice: { amount: 500, currency: 'EUR' } }))
  const personal = { keyId: orderId, iv: '', tag: '', ciphertext: '' }
  await commands.handle(
    { type: 'PlaceOrder', at: now(), orderId, customerId: 'customer-1', lines, personal, paymentToken },
    context(),
  )
  return orderId
}
const cancel = ({ commands }: Process, orderId: string) =>
  commands.handle({ type: 'CancelOrder', at: now(), orderId, reason: 'customer_request' }, context())
const ship = ({ commands }: Process, orderId: string) =>
  commands.handle({ type: 'ShipOrder', at: now(), orderId, carrier: 'DHL', trackingId: 'T1' }, context())

interface Row {
  readonly status: string
  readonly waiting_for: string | null
  readonly parked_step: string | null
  readonly revision: bigint
}
const untilStatus = (orderId: string, ...statuses: readonly string[]): Promise<Row | undefined> =>
  eventually(
    async () => (await server.database.query<Row>('select * from saga.instances where order_id = $1', [orderId]))[0],
    (row) => row !== undefined && statuses.includes(row.status),
    { what: `fulfilment ${orderId} ${statuses.join(' or ')}` },
  )
const untilConfirmed = (orderId: string) => untilStatus(orderId, 'waiting')

interface Charge {
  readonly status: string
  readonly refunded: bigint
}
const chargesOf = (orderId: string) =>
  server.database.query<Charge>('select status, refunded from gateway.authorisations where order_id = $1', [orderId])

describe('every row of the table', () => {
  test('placed, reserved, authorised, confirmed, shipped, captured, committed: completed', async () => {
    const shop = begin()
    const [a, b] = [await stocked(shop, 5), await stocked(shop, 5)]
    const orderId = await place(shop, 'tok_approve', a, b)
    expect((await untilConfirmed(orderId))?.waiting_for).toBe('shipment')
    expect((await shop.commands.orders.load(orderId)).status).toBe('confirmed')
    await ship(shop, orderId)
    await untilStatus(orderId, 'completed')
    expect(await chargesOf(orderId)).toMatchObject([{ status: 'captured' }])
    for (const sku of [a, b])
      expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 4, reserved: 0 })
    expect(await server.database.query('select from saga.timers where order_id = $1', [orderId])).toEqual([])
    const { events } = await shop.store.readStream(fulfilmentStream(orderId))
    expect(new Set(events.map(({ metadata }) => metadata.correlationId)).size).toBe(1)
    expect(new Set(events.map(({ metadata }) => metadata.actor))).toEqual(new Set(['saga:order-fulfilment']))
  })

  test('out of stock: what was reserved is released, the order cancelled, nothing charged', async () => {
    const shop = begin()
    const [a, b] = [await stocked(shop, 5), await stocked(shop, 5)]
    await shop.commands.handle({ type: 'AdjustStock', at: now(), sku: b, delta: -5, reason: 'lost' }, context())
    const orderId = await place(shop, 'tok_approve', a, b)
    await untilStatus(orderId, 'cancelled')
    expect(await shop.commands.orders.load(orderId)).toMatchObject({ status: 'cancelled', reason: 'out_of_stock' })
    expect(await shop.commands.inventories.load(a)).toMatchObject({ onHand: 5, reserved: 0 })
    expect(await chargesOf(orderId)).toEqual([])
  })

  test('fifty buyers of the last unit: one is confirmed, 49 are cancelled', async () => {
    const shop = begin()
    const sku = await stocked(shop, 1)
    const orders = await Promise.all(Array.from({ length: 50 }, () => place(shop, 'tok_approve', sku)))
    const rows = await Promise.all(orders.map((orderId) => untilStatus(orderId, 'waiting', 'cancelled')))
    expect(rows.filter((row) => row?.status === 'waiting')).toHaveLength(1)
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 1, reserved: 1 })
  })

  test('declined: everything is released, the order cancelled', async () => {
    const shop = begin()
    const sku = await stocked(shop, 5)
    const orderId = await place(shop, 'tok_decline', sku)
    await untilStatus(orderId, 'cancelled')
    expect(await shop.commands.orders.load(orderId)).toMatchObject({ status: 'cancelled', reason: 'payment_declined' })
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 5, reserved: 0 })
  })

  test.each(['tok_timeout_charged', 'tok_fail_2', 'tok_late'])(
    'an outcome that is unknown, late or refused at first (%s) leads to one charge',
    async (token) => {
      const shop = begin({ maxAttempts: 10_000 })
      const orderId = await place(shop, token, await stocked(shop, 5))
      await eventually(
        () => shop.commands.orders.load(orderId),
        (order) => order.status === 'confirmed',
      )
      await ship(shop, orderId)
      await untilStatus(orderId, 'completed')
      expect(await chargesOf(orderId)).toMatchObject([{ status: 'captured' }])
    },
  )

  test('a command that takes too long counts as unknown and is asked again', async () => {
    const shop = begin({ stepTimeoutMs: 100, maxAttempts: 10_000 })
    const orderId = await place(shop, 'tok_late', await stocked(shop, 5))
    await untilConfirmed(orderId)
    const { events } = await shop.store.readStream(fulfilmentStream(orderId))
    expect(events.map(({ type }) => type)).toContain('fulfilment.step-failed.v1')
    expect(await chargesOf(orderId)).toMatchObject([{ status: 'approved' }])
  })

  test('capture fails: parked after the last attempt, the stock committed; skipped by an operator it completes', async () => {
    const shop = begin()
    const sku = await stocked(shop, 5)
    const orderId = await place(shop, 'tok_capture_fails', sku)
    await untilConfirmed(orderId)
    await ship(shop, orderId)
    const parked = await untilStatus(orderId, 'parked')
    expect(parked).toMatchObject({ parked_step: 'capture', attempts: 3 })
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 4, reserved: 0 })

    const desk = createOperatorDesk({ ...shop, clock: systemClock, logger })
    const decision = { operator: 'ann', reason: 'provider is back' }
    await desk('FulfilmentRetried', orderId, decision, randomUUID())
    const again = await eventually(
      () => untilStatus(orderId, 'parked'),
      (row) => (row?.revision ?? 0n) > (parked?.revision ?? 0n),
    )
    expect(again).toMatchObject({ parked_step: 'capture', attempts: 3 })
    await desk('StepSkipped', orderId, decision, randomUUID())
    await untilStatus(orderId, 'completed')
    await expect(desk('StepSkipped', orderId, decision, randomUUID())).rejects.toMatchObject({
      code: 'saga-not-parked',
    })
    await expect(desk('StepSkipped', randomUUID(), decision, randomUUID())).rejects.toMatchObject({
      code: 'saga-not-found',
    })
  })

  test.each(['at once', 'when it is confirmed'])('cancelled %s: void and release', async (when) => {
    const shop = begin()
    const sku = await stocked(shop, 5)
    const orderId = await place(shop, 'tok_approve', sku)
    if (when === 'when it is confirmed') await untilConfirmed(orderId)
    await cancel(shop, orderId)
    await untilStatus(orderId, 'cancelled')
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 5, reserved: 0 })
    for (const charge of await chargesOf(orderId)) expect(charge.status).toBe('voided')
  })

  test('cancelled after the payment had been captured by somebody else: refunded', async () => {
    const shop = begin()
    const sku = await stocked(shop, 5)
    const orderId = await place(shop, 'tok_approve', sku)
    await untilConfirmed(orderId)
    await shop.commands.handle({ type: 'CapturePayment', at: now(), orderId }, context())
    await cancel(shop, orderId)
    await untilStatus(orderId, 'cancelled')
    expect(await chargesOf(orderId)).toMatchObject([{ status: 'captured', refunded: 500n }])
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 5, reserved: 0 })
  })

  test('the authorisation takes longer than its deadline allows: cancelled with compensation', async () => {
    const shop = begin({ authorisationDeadlineMs: 2_000, maxAttempts: 10_000 })
    const sku = await stocked(shop, 5)
    const orderId = await place(shop, 'tok_fail_9999', sku)
    await untilStatus(orderId, 'cancelled')
    expect(await shop.commands.orders.load(orderId)).toMatchObject({ reason: 'authorisation_expired' })
    expect(await chargesOf(orderId)).toMatchObject([{ status: 'voided' }])
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 5, reserved: 0 })
  })
})

describe('around it', () => {
  test('an order that hangs at the payment provider delays no other, and its timer survives a restart', async () => {
    const shop = begin({ concurrency: 4 })
    const sku = await stocked(shop, 50)
    const stuck = await place(shop, 'tok_fail_2', sku)
    const others = await Promise.all(Array.from({ length: 20 }, () => place(shop, 'tok_approve', sku)))
    await Promise.all(others.map(untilConfirmed))
    await shop.stop()
    open.delete(shop)
    begin()
    await untilStatus(stuck, 'waiting')
    await eventually(
      () => untilConfirmed(stuck),
      (row) => row?.waiting_for === 'shipment',
    )
  })

  test('a refund that was announced and has no outcome is asked for again', async () => {
    const shop = begin()
    const orderId = await place(shop, 'tok_approve', await stocked(shop, 5))
    await untilConfirmed(orderId)
    await ship(shop, orderId)
    await untilStatus(orderId, 'completed')
    const refundId = randomUUID()
    const amount = { amount: 200, currency: 'EUR' }
    // As if the process had died between announcing and asking.
    const { events, revision } = await shop.store.readStream(`payment-${orderId}`)
    const [first] = events
    if (!first || revision === 'none') throw new Error('the payment is missing')
    await shop.store.append(
      `payment-${orderId}`,
      [
        {
          id: randomUUID(),
          type: 'payment.refund-requested.v1',
          data: {
            ...{ orderId, customerId: 'customer-1', refundId, amount, reason: 'broken' },
            ...{ gatewayKey: `${orderId}:refund:${refundId}`, requestedAt: now() },
          },
          metadata: first.metadata,
        },
      ],
      revision,
    )
    await eventually(
      () => chargesOf(orderId),
      ([charge]) => charge?.refunded === 200n,
    )
    await eventually(
      () => server.database.query('select from saga.timers where order_id = $1', [orderId]),
      (timers) => timers.length === 0,
    )
  })

  test('the watchdog names the parked and those that do not move', async () => {
    const shop = begin()
    const orderId = await place(shop, 'tok_capture_fails', await stocked(shop, 5))
    await untilConfirmed(orderId)
    await ship(shop, orderId)
    await untilStatus(orderId, 'parked')
    const idle = randomUUID()
    await server.database.query(
      `insert into saga.instances (order_id, customer_id, status, saga_version, revision, started_at, updated_at, attempts)
        values ($1, 'customer-1', 'running', 1, 0, now() - interval '1 hour', now() - interval '1 hour', 0)`,
      [idle],
    )
    const stuck = await findStuck(server.database, 60_000, 100)
    expect(stuck.map((instance) => instance.orderId)).toEqual(expect.arrayContaining([idle, orderId]))
    const { metrics } = shop
    await createWatchdog({ database: server.database, logger, metrics }).look()
    expect(await metrics.registry.metrics()).toMatch(/orderlog_saga_instances\{status="parked"\} [1-9]/)
    await server.database.query('delete from saga.instances where order_id = $1', [idle])
  })

  test('an order that the saga has not even begun is named, and so is one whose timer is claimed and never done', async () => {
    const shop = begin()
    const sku = await stocked(shop, 5)
    const failing = await place(shop, 'tok_fail_9999', sku)
    await untilStatus(failing, 'waiting')
    await shop.stop()
    open.delete(shop)
    const idle = openProcess()
    const unseen = await place(idle, 'tok_approve', sku)
    expect((await findUnseen(server.database, idle.store, 0, 100)).map(({ orderId }) => orderId)).toContain(unseen)
    expect(await findUnseen(server.database, idle.store, 60_000, 100)).toEqual([])
    await server.database.query(`update saga.timers set due_at = now() - interval '1 hour' where order_id = $1`, [
      failing,
    ])
    const tables = createSagaTables(server.database)
    const claim = () => tables.claimTimers(new Date(), new Date(Date.now() + 60_000), 100)
    expect((await claim()).map(({ orderId }) => orderId)).toContain(failing)
    expect(await claim()).toEqual([])
    expect((await findStuck(server.database, 60_000, 100)).map(({ orderId }) => orderId)).toContain(failing)
    await idle.stop()
    await untilConfirmed(await place(begin(), 'tok_approve', sku))
  })

  test('an instance that cannot be read is set aside, and the others go on', async () => {
    const shop = begin()
    const sku = await stocked(shop, 50)
    const orderId = await place(shop, 'tok_approve', sku)
    await untilConfirmed(orderId)
    const { events } = await shop.store.readStream(fulfilmentStream(orderId))
    const [first] = events
    if (!first) throw new Error('the fulfilment is missing')
    await shop.store.append(
      fulfilmentStream(orderId),
      [{ id: randomUUID(), type: 'fulfilment.dreamt-of.v1', data: {}, metadata: first.metadata }],
      'any',
    )
    await ship(shop, orderId)
    await untilStatus(orderId, 'parked')
    await untilConfirmed(await place(shop, 'tok_approve', sku))
  })

  test('it does not start on a checkpoint of another log, nor on one beyond the end of this log', async () => {
    const consumer = "consumer = 'order-fulfilment'"
    const [kept] = await server.database.query<{ position: bigint; log_identity: string }>(
      `select position, log_identity from platform.checkpoints where ${consumer}`,
    )
    await server.database.query(`update platform.checkpoints set log_identity = $1 where ${consumer}`, [randomUUID()])
    const stranger = openProcess()
    await expect(stranger.start()).rejects.toThrow(StartupError)
    await stranger.stop()
    await server.database.query(
      `update platform.checkpoints set log_identity = $1, position = position + 1000000 where ${consumer}`,
      [kept?.log_identity],
    )
    const restored = openProcess()
    await expect(restored.start()).rejects.toThrow(/older log/)
    await restored.stop()
    await server.database.query(`update platform.checkpoints set position = $1 where ${consumer}`, [kept?.position])
  })
})

test('on a real log too: cancelled, shipped and restarted at any moment, stock and money add up', {
  timeout: 600_000,
}, async () => {
  const plan = fc.record({
    token: fc.constantFrom('tok_approve', 'tok_decline', 'tok_timeout_charged', 'tok_fail_1', 'tok_capture_fails'),
    after: fc.constantFrom('ship', 'cancel', 'cancel at once', 'both'),
  })
  const history = async (plans: readonly { token: string; after: string }[], restartAfter: number) => {
    let shop = begin()
    const sku = await stocked(shop, 6)
    const orders: { orderId: string; plan: (typeof plans)[number] }[] = []
    for (const [index, each] of plans.entries()) {
      if (index === restartAfter) {
        const former = shop
        shop = begin()
        // Both live for a while; the lease decides.
        await former.stop()
        open.delete(former)
      }
      const orderId = await place(shop, each.token, sku)
      orders.push({ orderId, plan: each })
      if (each.after === 'cancel at once') await cancel(shop, orderId)
    }
    const refusable = (work: Promise<unknown>) =>
      work.catch((error: unknown) => {
        if (!(error instanceof CommandRejected)) throw error
      })
    for (const {
      orderId,
      plan: { after },
    } of orders) {
      if (after === 'cancel' || after === 'both') void refusable(cancel(shop, orderId))
      if (after === 'cancel' || after === 'cancel at once') continue
      await untilStatus(orderId, 'waiting', 'cancelled')
      await eventually(
        async () => (await shop.commands.orders.load(orderId)).status,
        (status) => status !== 'placed',
      )
      await refusable(ship(shop, orderId))
    }
    const rows = await Promise.all(
      orders.map(({ orderId }) => untilStatus(orderId, 'completed', 'cancelled', 'parked')),
    )
    let sold = 0
    for (const [
      index,
      {
        orderId,
        plan: { token },
      },
    ] of orders.entries()) {
      const { status } = await shop.commands.orders.load(orderId)
      if (status === 'shipped') sold += 1
      const charges = await chargesOf(orderId)
      expect(charges.length).toBeLessThanOrEqual(1)
      if (rows[index]?.status === 'parked')
        expect({ token, status }).toEqual({ token: 'tok_capture_fails', status: 'shipped' })
      else if (status === 'shipped') expect(charges).toMatchObject([{ status: 'captured' }])
      else for (const charge of charges) expect(['voided', 'declined']).toContain(charge.status)
    }
    expect(await shop.commands.inventories.load(sku)).toMatchObject({ onHand: 6 - sold, reserved: 0 })
    await shop.stop()
    open.delete(shop)
  }
  await fc.assert(fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 12 }), fc.nat({ max: 12 }), history), {
    numRuns: 12,
    endOnFailure: true,
  })
})
