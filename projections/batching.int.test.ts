import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRelevance } from '../platform/relevance.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent, DomainEventType } from '../schemas/events.ts'
import { ada, line, orderLife } from '../test/support/order-events.ts'
import { createTestVault, openProjectionRig, type ProjectionRig, streamOf } from '../test/support/projection-rig.ts'
import { orderDetails } from './order-details.ts'
import { orderTimeline } from './order-timeline.ts'
import { payments } from './payments.ts'
import { createPostgresProjection, type PostgresProjection } from './postgres-sink.ts'
import { sales } from './sales.ts'
import { stockLevels } from './stock-levels.ts'

let rig: ProjectionRig
beforeAll(async () => {
  rig = await openProjectionRig()
})
afterAll(() => rig.close())

const vault = createTestVault()

/** Orders with payments and stock, each stream in its own order, mixed with the others at random. */
const lives = fc
  .array(
    fc.record({
      customer: fc.integer({ min: 1, max: 3 }),
      length: fc.nat(4),
      cancel: fc.boolean(),
      forget: fc.boolean(),
    }),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  .map((all) =>
    all.flatMap(({ customer, length, cancel, forget }): DomainEvent[][] => {
      const keyId = randomUUID()
      const customerId = `customer-${customer}`
      const life = orderLife({ customerId, lines: [line(`sku-${customer}`, 2, 700)], personal: vault.seal(keyId, ada) })
      const { orderId } = life
      const at = '2026-03-01T09:30:00.000Z'
      const amount = { amount: 1_400, currency: 'EUR' }
      const order: DomainEvent[] = [life.placed, life.confirmed, life.shipped, life.delivered]
      const end: DomainEvent[] = cancel && length < 3 ? [life.cancelled(length === 2)] : []
      return [
        [...order.slice(0, length), ...(length > 0 ? end : [])],
        [
          {
            type: 'AuthorisationRequested',
            data: { orderId, customerId, amount, paymentToken: 't', gatewayKey: 'k', requestedAt: at },
          },
          { type: 'PaymentAuthorised', data: { orderId, customerId, amount, gatewayReference: 'r', authorisedAt: at } },
          { type: 'PaymentCaptured', data: { orderId, customerId, amount, capturedAt: at } },
          { type: 'PaymentRefunded', data: { orderId, customerId, refundId: orderId, amount, refundedAt: at } },
        ],
        [
          { type: 'StockReceived', data: { sku: `sku-${customer}`, quantity: 2, receivedAt: at } },
          { type: 'StockReserved', data: { sku: `sku-${customer}`, orderId, quantity: 2, reservedAt: at } },
          { type: 'StockCommitted', data: { sku: `sku-${customer}`, orderId, quantity: 2, committedAt: at } },
        ],
        forget ? [{ type: 'PersonalDataForgotten', data: { customerId, keyIds: [keyId], forgottenAt: at } }] : [],
      ]
    }),
  )

/** Takes the next event of a random stream, again and again. */
const mixed = fc.tuple(lives, fc.infiniteStream(fc.nat())).map(([streams, choices]): RecordedEvent[] => {
  const left = streams.map((stream) => [...stream])
  const revisions = new Map<string, bigint>()
  const events: RecordedEvent[] = []
  for (let filled = left.filter((stream) => stream.length > 0); filled.length > 0; ) {
    const event = filled[choices.next().value % filled.length]?.shift()
    if (event) {
      const stream = streamOf(event)
      const revision = (revisions.get(stream) ?? -1n) + 1n
      revisions.set(stream, revision)
      const [commandId, correlationId, causationId] = [randomUUID(), randomUUID(), randomUUID()]
      const metadata = { commandId, correlationId, causationId, actor: 'test' }
      const position = BigInt(events.length + 1)
      events.push({
        ...event,
        id: randomUUID(),
        stream,
        revision,
        position,
        metadata,
        recordedAt: '2026-03-01T10:00:00.000Z',
      })
    }
    filled = left.filter((stream) => stream.length > 0)
  }
  return events
})

const rowsAfter = async <Type extends DomainEventType>(
  definition: PostgresProjection<Type>,
  table: string,
  batches: readonly (readonly RecordedEvent[])[],
): Promise<unknown[]> => {
  const schema = `t${randomUUID().replaceAll('-', '')}`
  const { sink, types } = createPostgresProjection(rig.database, { ...definition, name: schema })
  const wanted = createRelevance(types)
  const handled = new Set<string>(definition.handles)
  expect(types.every((type) => wanted({ type, stream: '' } as never))).toBe(true)
  await sink.prepare(await rig.store.identity())
  let from = 0n
  for (const batch of batches) {
    const to = batch.at(-1)?.position ?? from
    const events = batch.filter((event) => handled.has(event.type))
    expect(await sink.apply({ partition: 0, events, from, to })).toBe('applied')
    from = to
  }
  const rows = await rig.rows<{ row: string }>(`select t::text as row from ${schema}.${table} t order by 1`)
  await rig.rows(`drop schema ${schema} cascade`)
  return rows
}

const models: [string, PostgresProjection<never>][] = [
  ['orders', orderDetails(vault)],
  ['entries', orderTimeline],
  ['stock', stockLevels],
  ['payments', payments],
  ['days', sales],
] as unknown as [string, PostgresProjection<never>][]

test.each(models)(
  '%s come out the same from one event at a time, from small batches and from one big batch',
  async (table, model) => {
    await fc.assert(
      fc.asyncProperty(mixed, fc.integer({ min: 2, max: 7 }), async (events, size) => {
        const whole = await rowsAfter(model, table, [events])
        const single = await rowsAfter(
          model,
          table,
          events.map((event) => [event]),
        )
        const some = Array.from({ length: Math.ceil(events.length / size) }, (_, index) =>
          events.slice(index * size, (index + 1) * size),
        )
        expect(single).toEqual(whole)
        expect(await rowsAfter(model, table, some)).toEqual(whole)
      }),
      { numRuns: 8 },
    )
  },
)
