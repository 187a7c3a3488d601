import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatConsistencyToken as consistencyToken } from '../platform/consistency-token.ts'
import { ask } from '../test/support/ask.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { newEvent } from '../test/support/new-event.ts'
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

  const decide = async (path: string, body: unknown) => {
    const response = await fetch(`${side.url}/v1/parked-events/${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    // biome-ignore lint/suspicious/noExplicitAny: the body is what the test is about to look into
    return { status: response.status, body: (await response.json()) as any }
  }
  const operator = { operator: 'eve', reason: 'told by the customer' }

  test('are shown with everything, edited beside the original, retried, and shown as edited from then on', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed)
    // Shipped by somebody without a name, which no schema allows and no row can hold.
    const shipped = {
      ...order.shipped,
      data: { ...order.shipped.data, shippedAt: 'one day' },
    } as typeof order.shipped
    await side.store.append(order.stream, [newEvent(shipped.data, 'order.shipped.v1')], 'any')
    const last = await side.record(order.stream, order.delivered)
    await side.settled()
    const path = `order_details/${order.stream}/1`
    const before = (await ask(side, `/v1/parked-events/${path}`)).body
    expect(before).toMatchObject({
      status: 'failed',
      event: { type: 'order.shipped.v1', data: { shippedAt: 'one day' }, actor: 'test:nobody' },
      edits: [],
      attempts: 3,
      discarded: null,
    })
    expect(before.stack).toContain(before.error)
    const token = { 'Consistency-Token': consistencyToken(await side.store.identity(), last) }
    const consistency = async () => (await ask(side, `/v1/orders/${order.orderId}`, token)).headers.get('consistency')
    expect(await consistency()).toBe('stale')

    expect((await decide(`${path}/edit`, { ...operator, data: shipped.data })).body).toMatchObject({
      status: 422,
      code: 'invalid-replacement',
      problems: [{ path: '/shippedAt' }],
    })
    const edited = await decide(`${path}/edit`, { ...operator, data: order.shipped.data })
    expect(edited).toMatchObject({
      status: 200,
      body: {
        event: { data: { shippedAt: 'one day' } },
        edits: [{ edit: 1, type: 'order.shipped.v1', data: order.shipped.data, ...operator, appliedAt: null }],
      },
    })
    expect(await consistency()).toBe('stale')
    expect(await (await retry(order.stream, operator)).json()).toMatchObject({ appliedCount: 2, parkedCount: 0 })
    expect(await consistency()).toBe('current')
    expect((await ask(side, `/v1/orders/${order.orderId}`)).body).toMatchObject({ status: 'delivered', carrier: 'DHL' })
    expect((await ask(side, `/v1/parked-events/${path}`)).body).toMatchObject({
      status: 'edited',
      event: { type: 'order.shipped.v1', data: { shippedAt: 'one day' } },
      edits: [{ ...operator, appliedAt: expect.stringMatching(/Z$/) }],
    })
    expect((await ask(side, '/v1/parked-events?status=edited')).body.parkedEvents).toContainEqual(
      expect.objectContaining({ stream: order.stream, revision: '1', status: 'edited', ...operator }),
    )
  })

  test('are discarded with a visible gap, and nothing secret is shown', async () => {
    const order = givenOrder(side)
    const placed = { ...order.placed.data, total: 'much' }
    const position = (await side.store.append(order.stream, [newEvent(placed, 'order.placed.v2')], 'none')) as {
      position: bigint
    }
    await side.settled()
    const path = `order_details/${order.stream}/0`
    const shown = await ask(side, `/v1/parked-events/${path}`)
    expect(shown.body).toMatchObject({ status: 'failed', event: { data: { total: 'much' } } })
    const discarded = await decide(`${path}/discard`, operator)
    expect(discarded).toMatchObject({
      status: 200,
      body: { status: 'discarded', parkedCount: 0, discarded: { ...operator, passedAt: null }, attempts: 3 },
    })
    const gaps = await ask(side, '/v1/parked-events?status=discarded&projection=order_details')
    expect(gaps.body.parkedEvents).toMatchObject([{ stream: order.stream, status: 'discarded', ...operator }])
    for (const { body } of [shown, discarded, gaps]) expect(JSON.stringify(body)).not.toMatch(/tok_approve|c2VhbGVk/)
    // The read model has done with the event: nothing more will come of it.
    const token = { 'Consistency-Token': consistencyToken(await side.store.identity(), position.position) }
    const read = await ask(side, `/v1/orders/${order.orderId}`, token)
    expect([read.headers.get('consistency'), read.body.code]).toEqual(['current', 'order-not-found'])
    const { projections } = (await ask(side, '/v1/projections')).body
    expect(projections).toContainEqual(expect.objectContaining({ name: 'order_details', gapCount: 1 }))
    expect((await decide(`${path}/discard`, operator)).body.code).toBe('parked-event-not-found')
    expect((await decide(`${path}/edit`, { ...operator, data: {} })).body.code).toBe('parked-event-not-found')
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

// Last: projections wait at the newer event from here on.
test('an event that this version cannot read is answered with a code of its own', async () => {
  const [strange, newer] = [givenOrder(side), givenOrder(side)]
  for (const order of [strange, newer]) await side.record(order.stream, order.placed)
  await side.store.append(strange.stream, [newEvent({}, 'order.gift-wrapped.v1')], 'any')
  await side.store.append(newer.stream, [newEvent({}, 'order.confirmed.v2')], 'any')
  const asOf = (orderId: string, when: string) => ask(side, `/v1/orders/${orderId}?asOf=${when}`)
  expect((await asOf(strange.orderId, '1')).body).toMatchObject({
    status: 409,
    code: 'unknown-event',
    detail: expect.stringMatching(/order-.*@1\) is a "order.gift-wrapped.v1"/),
  })
  const answer = await asOf(newer.orderId, '1')
  expect(answer.body).toMatchObject({ status: 503, code: 'newer-event' })
  expect(answer.headers.get('retry-after')).toBe('1')
  expect((await asOf(newer.orderId, '0')).body).toMatchObject({ status: 'placed' })
})
