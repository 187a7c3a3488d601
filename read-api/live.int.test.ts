import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { givenOrder } from '../test/support/given-order.ts'
import { type LiveMessage, openLiveClient } from '../test/support/live-client.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide()
})
afterAll(() => side.close())

const isCaughtUp = (id: string) => (message: LiveMessage) => message.type === 'caught-up' && message.id === id
const isError = (message: LiveMessage) => message.type === 'error'
const isSnapshot = (message: LiveMessage) => message.type === 'snapshot'
const cursorsOf = (events: readonly LiveMessage[]) => events.map((event) => event.cursor)
const typesOf = (events: readonly LiveMessage[]) => events.map(({ event }) => (event as { type: string }).type)

describe('an order', () => {
  test('is sent as a snapshot, then event by event', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed, order.confirmed)
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId })
    const snapshot = await client.first(isSnapshot)
    expect(snapshot).toMatchObject({
      id: 'o',
      cursor: '1',
      order: { status: 'confirmed', revision: '1', customer: { name: 'Ada Lovelace' } },
    })
    await client.first(isCaughtUp('o'))
    await side.record(order.stream, order.shipped)
    await side.record(order.stream, order.delivered)
    const events = await client.events('o', 2)
    expect(cursorsOf(events)).toEqual(['2', '3'])
    expect(typesOf(events)).toEqual(['OrderShipped', 'OrderDelivered'])
    expect(JSON.stringify(client.received)).not.toMatch(/ciphertext|tok_approve/)
    await client.close()
  })

  test('can be subscribed to before it is placed', async () => {
    const order = givenOrder(side)
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId })
    expect(await client.first(isSnapshot)).toMatchObject({ cursor: '-1', order: null })
    await side.record(order.stream, order.placed)
    expect(cursorsOf(await client.events('o', 1))).toEqual(['0'])
    await client.close()
  })

  test('resumes after any revision with everything since and no snapshot', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed, order.confirmed, order.shipped)
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'all', channel: 'order', orderId: order.orderId, after: '-1' })
    client.send({ type: 'subscribe', id: 'last', channel: 'order', orderId: order.orderId, after: '1' })
    await client.first(isCaughtUp('all'))
    await client.first(isCaughtUp('last'))
    expect(cursorsOf(await client.events('all', 3))).toEqual(['0', '1', '2'])
    expect(cursorsOf(await client.events('last', 1))).toEqual(['2'])
    expect(client.received.some(isSnapshot)).toBe(false)
    await client.close()
  })

  test('is refused after a revision that has not happened', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed)
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId, after: '7' })
    expect(await client.first(isError)).toMatchObject({ id: 'o', code: 'in-the-future' })
    client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId })
    await client.first(isCaughtUp('o'))
    await client.close()
  })

  test('is silent once unsubscribed', async () => {
    const order = givenOrder(side)
    await side.record(order.stream, order.placed)
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'a', channel: 'order', orderId: order.orderId })
    client.send({ type: 'subscribe', id: 'b', channel: 'order', orderId: order.orderId })
    await client.first(isCaughtUp('a'))
    await client.first(isCaughtUp('b'))
    client.send({ type: 'unsubscribe', id: 'a' })
    await client.first((message) => message.type === 'unsubscribed')
    await side.record(order.stream, order.confirmed)
    await client.events('b', 1)
    expect(client.received.filter((message) => message.type === 'event' && message.id === 'a')).toEqual([])
    await client.close()
  })
})

describe('the orders of a customer', () => {
  test('are sent as a list at a known position, then event by event, and nobody else’s', async () => {
    const customerId = `customer-${randomUUID()}`
    const [first, second, other] = [
      givenOrder(side, { customerId }),
      givenOrder(side, { customerId }),
      givenOrder(side),
    ]
    await side.record(first.stream, first.placed)
    await side.settled()
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'c', channel: 'customer', customerId })
    const snapshot = await client.first(isSnapshot)
    expect(snapshot.orders).toMatchObject([{ orderId: first.orderId, status: 'placed' }])
    await side.record(other.stream, other.placed)
    await side.record(first.stream, first.confirmed)
    await side.record(second.stream, second.placed)
    const events = await client.events('c', 2)
    expect(typesOf(events)).toEqual(['OrderConfirmed', 'OrderPlaced'])
    await client.close()

    const again = await openLiveClient(side.liveUrl)
    again.send({ type: 'subscribe', id: 'c', channel: 'customer', customerId, after: snapshot.cursor })
    await again.first(isCaughtUp('c'))
    expect(cursorsOf(await again.events('c', 2))).toEqual(cursorsOf(events))
    await again.close()
  })
})

describe('all orders', () => {
  test('resume from a position with everything since, however long ago', async () => {
    const orders = Array.from({ length: 700 }, () => givenOrder(side))
    const before = await side.store.head()
    await Promise.all(orders.map((order) => side.record(order.stream, order.placed, order.confirmed)))
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: String(before) })
    await client.first(isCaughtUp('all'))
    const positions = (await client.events('all', 1_400)).map((event) => Number(event.position))
    expect(positions).toEqual(Array.from({ length: 1_400 }, (_, index) => Number(before) + 1 + index))
    await client.close()
  })

  test('begin with the newest page', async () => {
    await side.settled()
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'all', channel: 'orders' })
    const snapshot = await client.first(isSnapshot)
    expect(snapshot.orders).toHaveLength(50)
    expect(snapshot.cursor).toBe(String(await side.store.head()))
    await client.close()
  })
})

describe('a leaderboard', () => {
  test('is sent whole, and again when a sale has changed it', async () => {
    const sku = `sku-${randomUUID()}`
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'l', channel: 'leaderboard', board: 'products', by: 'units', limit: 100 })
    expect(await client.first(isSnapshot)).toMatchObject({ leaderboard: { board: 'products', by: 'units' } })
    const order = givenOrder(side, { sku })
    await side.record(order.stream, order.placed, order.confirmed)
    const holds = (message: LiveMessage) => JSON.stringify(message.leaderboard ?? {}).includes(`"key":"${sku}"`)
    await client.first((message) => message.type === 'leaderboard' && holds(message))
    await client.close()
  })
})
