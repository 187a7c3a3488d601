import { afterAll, beforeAll, expect, test } from 'vitest'
import { closeCodes } from '../schemas/live.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { type LiveMessage, openLiveClient } from '../test/support/live-client.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

const live = { roomBytes: 32 * 1024, maxBytes: 128 * 1024, maxQueue: 50 }

let side: ReadSide
beforeAll(async () => {
  side = await openReadSide({ live, projecting: false })
})
afterAll(() => side.close())

/** Events of some 12 KB, far more of them than the buffers of the sockets on both ends hold. */
const write = async (count: number): Promise<void> => {
  const orders = Array.from({ length: count }, () => givenOrder(side, { lineCount: 100 }))
  for (let from = 0; from < count; from += 20)
    await Promise.all(orders.slice(from, from + 20).map((order) => side.record(order.stream, order.placed)))
}

const serverSockets = () => [...side.server.websocketServer.clients]

test('a client that stops reading costs bounded memory, is closed with its cursor, and resumes without a gap', async () => {
  const start = Number(await side.store.head())
  const client = await openLiveClient(side.liveUrl)
  client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: String(start) })
  await client.first((message) => message.type === 'caught-up')
  client.socket.pause()
  const [socket] = serverSockets()
  let mostBuffered = 0
  for (let round = 0; round < 40 && socket?.readyState === socket?.OPEN; round += 1) {
    await write(40)
    mostBuffered = Math.max(mostBuffered, socket?.bufferedAmount ?? 0)
  }
  expect(socket?.readyState).not.toBe(socket?.OPEN)
  expect(mostBuffered).toBeLessThan(live.maxBytes)

  client.socket.resume()
  const { code, reason } = await client.closed
  expect(code).toBe(closeCodes.slowConsumer)
  const last = client.received.at(-1)
  const seen = client.received.filter((message) => message.type === 'event')
  const cursor = seen.at(-1)?.cursor
  expect(last).toMatchObject({ type: 'error', code: 'slow-consumer', cursors: { all: cursor } })
  expect(JSON.parse(reason)).toEqual({ code: 'slow-consumer', cursors: { all: cursor } })

  const again = await openLiveClient(side.liveUrl)
  again.send({ type: 'subscribe', id: 'all', channel: 'orders', after: cursor })
  const head = Number(await side.store.head())
  const isLast = (message: LiveMessage) => Number(message.position) === head
  if (!seen.some(isLast)) await again.first((message) => message.type === 'event' && isLast(message))
  const rest = again.received.filter((message) => message.type === 'event')
  const positions = [...seen, ...rest].map((event) => Number(event.position))
  expect(positions).toEqual(Array.from({ length: head - start }, (_, index) => start + 1 + index))
  await again.close()
})

test('a client that reads its past slowly is waited for, and the server reads no faster than it', async () => {
  await write(400)
  const client = await openLiveClient(side.liveUrl)
  client.socket.pause()
  client.send({ type: 'subscribe', id: 'all', channel: 'orders', after: '0' })
  const [socket] = serverSockets()
  await write(100)
  expect(socket?.bufferedAmount ?? 0).toBeLessThan(live.maxBytes)
  client.socket.resume()
  await client.first((message) => message.type === 'caught-up')
  // What the follower of the log had not seen yet when the past ended comes live.
  const head = Number(await side.store.head())
  await client.first((message) => message.type === 'event' && Number(message.position) === head)
  const positions = client.received.filter((message) => message.type === 'event').map((event) => Number(event.position))
  expect(positions).toEqual(Array.from({ length: positions.length }, (_, index) => 1 + index))
  expect(positions.at(-1)).toBe(head)
  await client.close()
})
