import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask } from '../test/support/ask.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
const running = randomUUID()
const parked = randomUUID()

beforeAll(async () => {
  side = await openReadSide()
  const order = givenOrder(side)
  await side.record(order.stream, order.placed)
  await side.settled()
  await side.database.query(
    `insert into saga.instances values
      ($1, 'ada', 'running', null, null, null, 1, 4, '2026-03-01T10:00:00Z', now(), 0),
      ($2, 'bob', 'parked', null, 'capture', 'refused', 1, 9, '2026-03-02T10:00:00Z', now(), 5)`,
    [running, parked],
  )
  await side.record(`fulfilment-${parked}`, {
    type: 'FulfilmentParked',
    data: { orderId: parked, step: 'capture', error: 'refused', attempts: 5, at: '2026-03-02T11:00:00.000Z' },
  })
})
afterAll(() => side.close())

describe('GET /v1/sagas', () => {
  const ids = (body: { sagas: { orderId: string }[] }) => body.sagas.map(({ orderId }) => orderId)

  test('lists fulfilments, newest first, by status and by being stuck', async () => {
    expect(ids((await ask(side, '/v1/sagas')).body)).toEqual([parked, running])
    expect(ids((await ask(side, '/v1/sagas?status=running')).body)).toEqual([running])
    expect(ids((await ask(side, '/v1/sagas?stuck=true')).body)).toEqual([parked])
    expect(ids((await ask(side, '/v1/sagas?stuck=false')).body)).toEqual([running])
    const first = await ask(side, '/v1/sagas?limit=1')
    expect(ids((await ask(side, `/v1/sagas?limit=1&cursor=${first.body.nextCursor}`)).body)).toEqual([running])
  })

  test('shows one with everything that it recorded', async () => {
    const { body } = await ask(side, `/v1/sagas/${parked}`)
    expect(body).toMatchObject({
      orderId: parked,
      saga: { status: 'parked', parkedStep: 'capture', error: 'refused', attempts: 5, revision: '9' },
      events: [{ revision: '0', type: 'FulfilmentParked', readable: true, data: { step: 'capture' } }],
    })
    expect((await ask(side, `/v1/sagas/${randomUUID()}`)).body).toMatchObject({ status: 404, code: 'saga-not-found' })
  })

  test.each(['status=lost', 'stuck=maybe', 'limit=0', 'limit=201', 'cursor=%00', 'q=1'])(
    '?%s is refused',
    async (query) => {
      expect((await ask(side, `/v1/sagas?${query}`)).body).toMatchObject({ status: 400, code: 'invalid-request' })
    },
  )
})

test('GET /v1/projections tells where each one stands', async () => {
  await side.settled()
  const { body } = await ask(side, '/v1/projections')
  expect(BigInt(body.head)).toBeGreaterThan(0n)
  const details = body.projections.find(({ name }: { name: string }) => name === 'order_details')
  expect(details).toMatchObject({
    version: 1,
    parkedEventCount: 0,
    partitions: [{ partition: 0, position: body.head, lagEvents: '0', updatedAt: expect.stringMatching(/Z$/) }],
  })
  expect((await ask(side, '/v1/projections?x=1')).body).toMatchObject({ status: 400, code: 'invalid-request' })
})

describe('parked events', () => {
  const retry = (stream: string, body: unknown) =>
    fetch(`${side.url}/v1/parked-events/order_details/${stream}/retry`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })

  test('are listed, without secrets, and can be retried', async () => {
    const order = givenOrder(side)
    // An order that is confirmed before it is placed: the read model cannot take it.
    await side.record(order.stream, order.confirmed)
    await side.settled()
    const { body } = await ask(side, '/v1/parked-events?projection=order_details')
    expect(body.parkedEvents).toMatchObject([
      {
        projection: 'order_details',
        stream: order.stream,
        revision: '0',
        type: 'order.confirmed.v1',
        status: 'failed',
      },
    ])
    expect((await ask(side, '/v1/parked-events?projection=sales')).body.parkedEvents).toEqual([])
    const response = await retry(order.stream, { operator: 'eve', reason: 'trying again' })
    expect([response.status, await response.json()]).toEqual([
      200,
      { projection: 'order_details', stream: order.stream, appliedCount: 0, parkedCount: 1 },
    ])
  })

  test('that do not exist cannot be retried, nor can any without a reason', async () => {
    expect(await (await retry('order-none', { operator: 'eve', reason: 'why not' })).json()).toMatchObject({
      status: 404,
      code: 'parked-event-not-found',
    })
    expect(await (await retry('order-none', { operator: 'eve' })).json()).toMatchObject({ code: 'invalid-request' })
  })

  test.each(['projection=Sales', 'limit=0', 'limit=201', 'x=1'])('?%s is refused', async (query) => {
    expect((await ask(side, `/v1/parked-events?${query}`)).body).toMatchObject({ status: 400, code: 'invalid-request' })
  })
})

test('routes and methods that do not exist are problem documents', async () => {
  expect((await ask(side, '/v1/dreams')).body).toMatchObject({ status: 404, code: 'route-not-found' })
  const response = await fetch(`${side.url}/v1/orders/${running}`, { method: 'DELETE' })
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET'])
})
