import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../test/support/eventually.ts'
import { type GivenOrder, givenOrder } from '../test/support/given-order.ts'
import { type LiveClient, type LiveMessage, openLiveClient } from '../test/support/live-client.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide({ live: { maxQueue: 20 } })
})
afterAll(() => side.close())

const placeOf = (event: LiveMessage) => Number(event.position)
const eventsOf = (client: LiveClient, id: string) =>
  client.received.filter((message) => message.type === 'event' && message.id === id)

test('twenty subscribers who come while four writers append get every event exactly once and in order', async () => {
  const customerId = `customer-${randomUUID()}`
  const start = await side.store.head()
  const orders: GivenOrder[] = []
  let last = 0n
  const write = async () => {
    for (let written = 0; written < 60; written += 1) {
      const order = givenOrder(side, { customerId })
      orders.push(order)
      await side.record(order.stream, order.placed)
      await side.record(order.stream, order.confirmed)
      const position = await side.record(order.stream, order.shipped)
      if (position > last) last = position
    }
  }
  const subscribe = async (index: number): Promise<LiveClient> => {
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: String(start) })
    client.send({ type: 'subscribe', id: 'mine', channel: 'customer', customerId, after: String(start) })
    const order = orders[index]
    if (order) client.send({ type: 'subscribe', id: 'one', channel: 'order', orderId: order.orderId, after: '-1' })
    return client
  }
  const arrive = async () => {
    const clients: LiveClient[] = []
    for (let index = 0; index < 20; index += 1) {
      clients.push(await subscribe(index))
      await clients.at(-1)?.first((message) => message.type === 'caught-up')
    }
    return clients
  }
  const [clients] = await Promise.all([arrive(), write(), write(), write(), write()])

  const expected = Array.from({ length: 4 * 60 * 3 }, (_, index) => Number(start) + 1 + index)
  expect(expected.at(-1)).toBe(Number(last))
  for (const client of clients) {
    const all = await client.events('all', expected.length)
    const mine = await client.events('mine', expected.length)
    expect(all.map(placeOf)).toEqual(expected)
    expect(mine.map(placeOf)).toEqual(expected)
    if (client.received.some((message) => message.id === 'one')) {
      const one = await client.events('one', 3)
      expect(one.map((event) => event.cursor)).toEqual(['0', '1', '2'])
    }
  }
  await Promise.all(clients.map((client) => client.close()))
})

test('a snapshot and the events after it make the whole, wherever the writers are when it is taken', async () => {
  const order = givenOrder(side)
  const writing = (async () => {
    for (const event of [order.placed, order.confirmed, order.shipped, order.delivered])
      await side.record(order.stream, event)
  })()
  const clients = await Promise.all(Array.from({ length: 20 }, () => openLiveClient(side.liveUrl)))
  for (const client of clients) client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId })
  await writing
  for (const client of clients) {
    const snapshot = await client.first((message) => message.type === 'snapshot')
    const seen = Number(snapshot.cursor)
    if (seen < 3) await client.first((message) => message.type === 'event' && message.cursor === '3')
    expect(eventsOf(client, 'o').map((event) => Number(event.cursor))).toEqual(
      Array.from({ length: 3 - seen }, (_, index) => seen + 1 + index),
    )
  }
  await Promise.all(clients.map((client) => client.close()))
})

test('a client that comes and goes while a writer appends sees, all in all, every event once', async () => {
  const start = await side.store.head()
  let writing = true
  const writer = (async () => {
    for (let written = 0; written < 150; written += 1) {
      const order = givenOrder(side)
      await side.record(order.stream, order.placed)
    }
    writing = false
  })()
  const seen: number[] = []
  let cursor = String(start)
  const visit = async (enough: number) => {
    const client = await openLiveClient(side.liveUrl)
    client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: cursor })
    await client.first((message) => message.type === 'caught-up')
    if (enough > 0) await client.events('all', enough)
    client.socket.terminate()
    await client.closed
    const events = eventsOf(client, 'all')
    seen.push(...events.map(placeOf))
    cursor = String(events.at(-1)?.cursor ?? cursor)
  }
  while (writing) await visit(0)
  await writer
  await visit(Number(await side.store.head()) - Number(cursor))
  expect(seen).toEqual(Array.from({ length: 150 }, (_, index) => Number(start) + 1 + index))
})

test('subscribers wait out a database that throws everybody off, and miss nothing', async () => {
  const order = givenOrder(side)
  await side.record(order.stream, order.placed)
  const start = await side.store.head()
  const client = await openLiveClient(side.liveUrl)
  client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: String(start) })
  await client.first((message) => message.type === 'caught-up')
  const expected: string[] = []
  for (const event of [order.confirmed, order.shipped, order.delivered]) {
    // The connection that it is asked on may be one that the round before has cut.
    await eventually(
      () =>
        side.database.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
        ),
      () => true,
    )
    client.send({ type: 'subscribe', id: event.type, channel: 'order', orderId: order.orderId })
    await eventually(
      () => side.record(order.stream, event),
      () => true,
    )
    expected.push(event.type)
  }
  const events = await client.events('all', 3)
  expect(events.map(({ event }) => (event as { type: string }).type)).toEqual(expected)
  for (const id of expected) {
    const snapshot = await client.first((message) => message.type === 'snapshot' && message.id === id)
    await client.events(id, 3 - Number(snapshot.cursor))
  }
  await client.close()
})
