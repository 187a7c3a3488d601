import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { encodeEvent } from '../schemas/codec.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import type { InventoryEvent } from '../schemas/inventory.ts'
import { inventoryStream } from '../schemas/streams.ts'
import { ask } from '../test/support/ask.ts'
import { openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { newEvent } from '../test/support/new-event.ts'
import { putBack } from '../test/support/put-back.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'
import { createStockHistory } from './stock-history.ts'
import { eventsPerState } from './stream-history.ts'

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide()
})
afterAll(() => side.close())

const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 10, minute)).toISOString()

/** Movements that an inventory allows, whatever the dice say. */
const movements = (sku: string, dice: readonly { kind: number; quantity: number }[]): InventoryEvent[] => {
  let [onHand, reserved] = [0, 0]
  return dice.map(({ kind, quantity }, minute): InventoryEvent => {
    const orderId = randomUUID()
    if (kind === 1 && onHand - reserved >= quantity) {
      reserved += quantity
      return { type: 'StockReserved', data: { sku, orderId, quantity, reservedAt: at(minute) } }
    }
    if (kind === 2 && reserved >= quantity) {
      reserved -= quantity
      return { type: 'ReservationReleased', data: { sku, orderId, quantity, releasedAt: at(minute) } }
    }
    if (kind === 3 && reserved >= quantity) {
      reserved -= quantity
      onHand -= quantity
      return { type: 'StockCommitted', data: { sku, orderId, quantity, committedAt: at(minute) } }
    }
    if (kind === 4 && onHand - reserved >= quantity) {
      onHand -= quantity
      return { type: 'StockAdjusted', data: { sku, delta: -quantity, reason: 'count', adjustedAt: at(minute) } }
    }
    onHand += quantity
    return { type: 'StockReceived', data: { sku, quantity, receivedAt: at(minute) } }
  })
}

const dice = fc.array(fc.record({ kind: fc.nat({ max: 4 }), quantity: fc.integer({ min: 1, max: 5 }) }), {
  minLength: 1,
  maxLength: 14,
})

/** A history over the store of the test that keeps a state every few events, and how many it folded for each answer. */
const counting = (interval: number, { store, database }: Pick<ReadSide, 'database'> & { store: EventStore } = side) => {
  const folded: number[] = []
  const metrics = { asOfEvents: { labels: () => ({ observe: (events: number) => folded.push(events) }) } }
  const deps = { store, database, clock: systemClock, metrics: metrics as never }
  return { folded, asOf: createStockHistory(deps, interval) }
}

const streamOf = async (sku: string): Promise<readonly StoredEvent[]> =>
  (await side.store.readStream(inventoryStream(sku))).events

test('as of each revision, position and time it is what GET /v1/stock showed then, kept states or none', async () => {
  await fc.assert(
    fc.asyncProperty(dice, async (rolled) => {
      const sku = `mug-${randomUUID()}`
      const shown: unknown[] = []
      for (const movement of movements(sku, rolled)) {
        await side.record(inventoryStream(sku), movement)
        // Somebody else's event, so that positions of the log are between those of the stream.
        const [other] = movements('other', [{ kind: 0, quantity: 1 }])
        if (other) await side.record(inventoryStream('other'), other)
        await side.settled()
        shown.push((await ask(side, `/v1/stock/${sku}`)).body)
      }
      const events = await streamOf(sku)
      const questions = events.flatMap(({ revision, position, recordedAt }, index) => {
        const atThatTime = events.findLastIndex((event) => event.recordedAt === recordedAt)
        return [
          { asOf: `${revision}`, expected: shown[index] },
          { asOf: `position:${position}`, expected: shown[index] },
          { asOf: `position:${position + 1n}`, expected: shown[index] },
          { asOf: recordedAt, expected: shown[atThatTime] },
        ]
      })
      const { asOf, folded } = counting(4)
      for (const { asOf: instant, expected } of [...questions.reverse(), ...questions]) {
        expect(await asOf(sku, instant)).toEqual(expected)
        expect((await ask(side, `/v1/stock/${sku}?asOf=${instant}`)).body).toEqual(expected)
      }
      // The last event was asked about first: since then every fourth state is kept.
      expect(Math.max(0, ...folded.slice(4))).toBeLessThanOrEqual(4)
      await expect(asOf(sku, `position:${(events[0]?.position ?? 0n) - 1n}`)).rejects.toMatchObject({
        code: 'stock-not-found',
      })
    }),
    { numRuns: 8, interruptAfterTimeLimit: 60_000 },
  )
}, 180_000)

describe('a stream of thousands', () => {
  const sku = `hot-${randomUUID()}`
  const receive = (count: number) =>
    side.record(
      inventoryStream(sku),
      ...Array.from(
        { length: count },
        (): InventoryEvent => ({ type: 'StockReceived', data: { sku, quantity: 1, receivedAt: at(0) } }),
      ),
    )
  beforeAll(async () => {
    for (let index = 0; index < 7; index += 1) await receive(500)
  })

  test('is folded page by page as far as the caller waits, and goes on where it was', async () => {
    const { body: first } = await ask(side, `/v1/stock/${sku}?asOf=3499&waitMs=0`)
    expect(first).toMatchObject({ status: 503, code: 'history-in-preparation', foldedUpTo: '999' })
    const { body: second, headers } = await ask(side, `/v1/stock/${sku}?asOf=3499&waitMs=0`)
    expect(second).toMatchObject({ foldedUpTo: '1999' })
    expect(headers.get('retry-after')).toBe('1')
    expect((await ask(side, `/v1/stock/${sku}?asOf=3499`)).body).toMatchObject({ revision: '3499', onHandUnits: 3_500 })
  })

  test('then costs no question more than the events of one kept state', async () => {
    const { asOf, folded } = counting(eventsPerState)
    const events = await streamOf(sku)
    for (const revision of [0, 998, 999, 1_000, 2_500, 3_499]) {
      const expected = { revision: `${revision}`, onHandUnits: revision + 1 }
      expect(await asOf(sku, `${revision}`, 0)).toMatchObject(expected)
      expect(await asOf(sku, `position:${events[revision]?.position}`, 0)).toMatchObject(expected)
    }
    expect(Math.max(...folded)).toBeLessThanOrEqual(eventsPerState)
  })

  test('states of another shape are passed over', async () => {
    await side.database.query(`update history.stream_states set shape = 0, state = '{}'`)
    expect((await ask(side, `/v1/stock/${sku}?asOf=3000`)).body).toMatchObject({ onHandUnits: 3_001 })
    expect(
      await side.database.query('select from history.stream_states where stream = $1 and shape = 0', [
        inventoryStream(sku),
      ]),
    ).toEqual([])
  })

  test('states of events that the log does not hold any more are passed over', async () => {
    const events = await streamOf(sku)
    await putBack(side.database, events[1_500]?.position ?? 0n)
    const taken: InventoryEvent = {
      type: 'StockAdjusted',
      data: { sku, delta: -1, reason: 'count', adjustedAt: at(1) },
    }
    for (let index = 0; index < 2; index += 1)
      await side.record(inventoryStream(sku), ...Array.from({ length: 750 }, () => taken))
    expect((await ask(side, `/v1/stock/${sku}?asOf=3000`)).body).toMatchObject({ onHandUnits: 1 })
    expect((await ask(side, `/v1/stock/${sku}?asOf=1600`)).body).toMatchObject({ onHandUnits: 1_401 })
  })
})

describe('what is refused', () => {
  test.each([
    ['99', 'in-the-future', { revision: '0' }],
    ['2999-01-01T00:00:00.000Z', 'in-the-future', {}],
    ['position:9999999999999999999', 'in-the-future', { head: expect.any(String) }],
    ['2020-01-01T00:00:00.000Z', 'stock-not-found', { asOf: '2020-01-01T00:00:00.000Z' }],
    ['0000-01-01T00:00:00.000Z', 'invalid-request', {}],
    ['position:', 'invalid-request', {}],
    ['position:-1', 'invalid-request', {}],
    ['position:01', 'invalid-request', {}],
    ['yesterday', 'invalid-request', {}],
    ['2026-01-01T00:00:00Z', 'invalid-request', {}],
  ])('asOf=%s is %s', async (asOf, code, details) => {
    const sku = `lamp-${randomUUID()}`
    await side.record(inventoryStream(sku), { type: 'StockReceived', data: { sku, quantity: 1, receivedAt: at(0) } })
    expect((await ask(side, `/v1/stock/${sku}?asOf=${asOf}`)).body).toMatchObject({ code, ...details })
  })

  test('of a SKU that never had any there is no past either', async () => {
    for (const asOf of ['0', 'position:0', '2026-01-01T00:00:00.000Z'])
      expect((await ask(side, `/v1/stock/nothing?asOf=${asOf}`)).body).toMatchObject({ code: 'stock-not-found' })
  })
})

test('a consistency token is checked, and the log has what it stands for without any wait', async () => {
  const sku = `vase-${randomUUID()}`
  const position = await side.record(inventoryStream(sku), {
    type: 'StockReceived',
    data: { sku, quantity: 3, receivedAt: at(0) },
  })
  const log = (await side.store.identity()).replaceAll('-', '').slice(0, 8)
  const path = `/v1/stock/${sku}?asOf=position:${position}`
  const answer = await ask(side, path, { 'Consistency-Token': `${log}-${position}` })
  expect([answer.body.onHandUnits, answer.headers.get('consistency')]).toEqual([3, 'current'])
  const ahead = await ask(side, path, { 'Consistency-Token': `${log}-${position + 1_000n}` })
  expect([ahead.status, ahead.headers.get('consistency')]).toEqual([200, 'stale'])
  expect((await ask(side, path, { 'Consistency-Token': 'nonsense' })).body.code).toBe('invalid-consistency-token')
})

test('where the log is in EventStoreDB, whose positions are no index, every instant has its answer too', async () => {
  const rig = await openEventStoreDbRig()
  const sku = `cup-${randomUUID()}`
  for (let index = 0; index < 11; index += 1) {
    const { type, data } = encodeEvent({ type: 'StockReceived', data: { sku, quantity: 1, receivedAt: at(index) } })
    await rig.store.append(inventoryStream(sku), [newEvent(data, type)], 'any')
    await rig.store.append('other-1', [newEvent()], 'any')
  }
  const { events } = await rig.store.readStream(inventoryStream(sku))
  const { asOf, folded } = counting(4, { store: rig.store, database: side.database })
  for (const round of [1, 2])
    for (const { revision, position, recordedAt } of events) {
      const expected = { revision: `${revision}`, onHandUnits: Number(revision) + 1, updatedAt: at(Number(revision)) }
      expect(await asOf(sku, `${revision}`)).toMatchObject(expected)
      expect(await asOf(sku, `position:${position}`)).toMatchObject(expected)
      expect(await asOf(sku, `position:${position + 1n}`)).toMatchObject(expected)
      const last = events.findLastIndex((event) => event.recordedAt === recordedAt)
      expect(await asOf(sku, recordedAt)).toMatchObject({ onHandUnits: last + 1 })
      if (round === 2) expect(folded.at(-1)).toBeLessThanOrEqual(4)
    }
  await expect(asOf(sku, `position:${(await rig.store.head()) + 1n}`)).rejects.toMatchObject({ code: 'in-the-future' })
  await rig.close()
})
