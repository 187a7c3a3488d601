import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serverMessages } from '../schemas/live.ts'
import { validate } from '../schemas/validation.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { openLiveClient } from '../test/support/live-client.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide({ live: { heartbeatMs: 1_500, maxSubscriptions: 3 } })
  const { stream, placed } = givenOrder(side)
  await side.record(stream, placed)
  await side.settled()
})
afterAll(() => side.close())

const subscribe = (id: string) => ({ type: 'subscribe', id, channel: 'order', orderId: randomUUID() })

const nonsense: readonly (readonly [string, unknown, string, string?])[] = [
  ['text that is not JSON', '{"type":', 'malformed-json'],
  ['JSON that is no object', [1, 2], 'unknown-message'],
  ['null', 'null', 'unknown-message'],
  ['no type', { id: 'x' }, 'unknown-message', 'x'],
  ['an unknown type', { type: 'explode', id: 'x' }, 'unknown-message', 'x'],
  ['a type of the server’s', { type: 'snapshot', id: 'x' }, 'unknown-message', 'x'],
  ['an unknown channel', { type: 'subscribe', id: 'x', channel: 'weather' }, 'unknown-channel', 'x'],
  ['a channel of every object', { type: 'subscribe', id: 'x', channel: 'constructor' }, 'unknown-channel', 'x'],
  ['no id', { type: 'subscribe', channel: 'orders' }, 'invalid-request'],
  ['an empty id', { type: 'subscribe', id: '', channel: 'orders' }, 'invalid-request', ''],
  ['an id that is too long', { type: 'subscribe', id: 'x'.repeat(65), channel: 'orders' }, 'invalid-request'],
  ['an unknown member', { type: 'subscribe', id: 'x', channel: 'orders', from: 1 }, 'invalid-request', 'x'],
  ['an order id that is none', { type: 'subscribe', id: 'x', channel: 'order', orderId: '7' }, 'invalid-request', 'x'],
  ['no order id', { type: 'subscribe', id: 'x', channel: 'order' }, 'invalid-request', 'x'],
  ['a cursor that is none', { type: 'subscribe', id: 'x', channel: 'orders', after: 'abc' }, 'invalid-request', 'x'],
  ['a negative position', { type: 'subscribe', id: 'x', channel: 'orders', after: '-1' }, 'invalid-request', 'x'],
  ['a cursor as a number', { type: 'subscribe', id: 'x', channel: 'orders', after: 1 }, 'invalid-request', 'x'],
  ['a position to come', { type: 'subscribe', id: 'x', channel: 'orders', after: '99999999' }, 'in-the-future', 'x'],
  ['an unknown board', { type: 'subscribe', id: 'x', channel: 'leaderboard', board: 'dogs' }, 'invalid-request', 'x'],
  ['a subscription that is none', { type: 'unsubscribe', id: 'x' }, 'not-subscribed', 'x'],
]

test.each(nonsense)('%s is answered with an error and the connection stays', async (_name, message, code, id) => {
  const client = await openLiveClient(side.liveUrl)
  client.send(message)
  const error = await client.first((answer) => answer.type === 'error')
  expect(error).toMatchObject({ code, title: expect.any(String) })
  expect(error.id).toBe(id)
  client.send(subscribe('fine'))
  await client.first((answer) => answer.type === 'caught-up')
  await client.close()
})

test('a binary frame is answered with an error and the connection stays', async () => {
  const client = await openLiveClient(side.liveUrl)
  client.socket.send(Buffer.from(JSON.stringify(subscribe('x'))))
  expect(await client.first((answer) => answer.type === 'error')).toMatchObject({ code: 'unknown-message' })
  client.send(subscribe('fine'))
  await client.first((answer) => answer.type === 'caught-up')
  await client.close()
})

test('a message of more than 16 KiB closes the connection with 1009', async () => {
  const client = await openLiveClient(side.liveUrl)
  client.send({ type: 'subscribe', id: 'x'.repeat(17_000), channel: 'orders' })
  expect((await client.closed).code).toBe(1009)
})

test('an id in use and a subscription too many are refused', async () => {
  const client = await openLiveClient(side.liveUrl)
  for (const id of ['a', 'b', 'c', 'a', 'd']) client.send(subscribe(id))
  await client.first((answer) => answer.type === 'error' && answer.id === 'd')
  const refusals = client.received.filter((answer) => answer.type === 'error')
  expect(refusals.map(({ id, code }) => [id, code])).toEqual([
    ['a', 'already-subscribed'],
    ['d', 'too-many-subscriptions'],
  ])
  await client.close()
})

test('heartbeats tell how far the log was followed, and a client that does not answer is dropped', async () => {
  const order = givenOrder(side)
  const position = await side.record(order.stream, order.placed)
  const client = await openLiveClient(side.liveUrl)
  client.send({ type: 'subscribe', id: 'o', channel: 'orders', after: '0' })
  await client.first((message) => message.type === 'heartbeat' && Number(message.position) >= Number(position))
  const deaf = await openLiveClient(side.liveUrl)
  deaf.socket.pause()
  const sockets = [...side.server.websocketServer.clients]
  await Promise.all(sockets.slice(-1).map((socket) => new Promise((resolve) => socket.once('close', resolve))))
  deaf.socket.resume()
  expect((await deaf.closed).code).toBe(1006)
  await client.close()
})

test('every message of the server matches its schema', async () => {
  const order = givenOrder(side)
  await side.record(order.stream, order.placed, order.confirmed)
  await side.settled()
  const client = await openLiveClient(side.liveUrl)
  client.send({ type: 'subscribe', id: 'a', channel: 'order', orderId: order.orderId })
  client.send({ type: 'subscribe', id: 'b', channel: 'customer', customerId: order.customerId })
  client.send({ type: 'subscribe', id: 'c', channel: 'leaderboard', board: 'customers' })
  client.send({ type: 'nonsense' })
  await client.first((message) => message.id === 'c')
  await client.first((message) => message.type === 'caught-up' && message.id === 'b')
  await side.record(order.stream, order.shipped)
  await client.events('a', 1)
  client.send({ type: 'unsubscribe', id: 'a' })
  await client.first((message) => message.type === 'unsubscribed')
  await client.first((message) => message.type === 'heartbeat')
  for (const message of client.received)
    expect(validate(serverMessages[message.type as keyof typeof serverMessages], message)).toMatchObject({
      valid: true,
    })
  await client.close()
})

test('a request without an upgrade is told what to do', async () => {
  const response = await fetch(`${side.url}/v1/live`)
  expect(response.status).toBe(426)
  expect(await response.json()).toMatchObject({ code: 'upgrade-required' })
})

test('a server that shuts down says so and where to resume', async () => {
  const own = await openReadSide({ projecting: false })
  const order = givenOrder(own)
  await own.record(order.stream, order.placed)
  const client = await openLiveClient(own.liveUrl)
  client.send({ type: 'subscribe', id: 'o', channel: 'order', orderId: order.orderId })
  await client.first((message) => message.type === 'caught-up')
  await own.close()
  const { code, reason } = await client.closed
  expect(code).toBe(1001)
  expect(JSON.parse(reason)).toEqual({ code: 'shutting-down', cursors: { o: '0' } })
  expect(client.received.at(-1)).toMatchObject({ type: 'error', code: 'shutting-down', cursors: { o: '0' } })
})
