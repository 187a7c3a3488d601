import { expect, test } from 'vitest'
import type { FeedBatch } from '../platform/event-feed.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import { silentLogger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { createLiveHub } from './live-hub.ts'

const stored = (position: bigint, stream: string, data: unknown = {}): StoredEvent => ({
  id: `id-${position}`,
  type: 'order.delivered.v1',
  data,
  metadata: { commandId: 'c', correlationId: 'c', causationId: 'c', actor: 'test:nobody' },
  stream,
  revision: 0n,
  position,
  recordedAt: '2026-03-01T10:00:00.000Z',
})

const batchOf = (...events: StoredEvent[]): FeedBatch => {
  const position = events.at(-1)?.position ?? 0n
  return {
    partition: 0,
    events: events.map((event) => ({ stored: event, recorded: () => decodeEvent(event) })),
    position,
    head: position,
  }
}

test('a feed that breaks off is followed again from where it stood, and the engine is waited for at the start', async () => {
  const ending = new AbortController()
  const followed: bigint[] = []
  const batches = [batchOf(stored(6n, 'order-a')), batchOf(stored(7n, 'payment-a'), stored(8n, 'order-b'))]
  let heads = 0
  const hub = createLiveHub({
    logger: silentLogger,
    signal: ending.signal,
    store: {
      head: async () => {
        heads += 1
        if (heads === 1) throw new EngineUnavailable('PostgreSQL', new Error('gone'))
        return 5n
      },
    },
    feed: {
      async *follow({ after }) {
        followed.push(after)
        const batch = batches.shift()
        if (batch) yield batch
        throw new Error('broken off')
      },
    },
  })
  const seen: string[] = []
  const all = new Promise<void>((resolve) => {
    void hub.join('orders', (event) => {
      seen.push(event.orderId)
      if (event.orderId === 'b') resolve()
    })
  })
  await all
  ending.abort()
  expect(seen).toEqual(['a', 'b'])
  expect(followed.slice(0, 2)).toEqual([5n, 6n])
})

test('an event goes to those who listen for its order, its customer or all orders, and to nobody who has left', async () => {
  const ending = new AbortController()
  let push: (batch: FeedBatch) => void = () => undefined
  const hub = createLiveHub({
    logger: silentLogger,
    signal: ending.signal,
    store: { head: async () => 0n },
    feed: {
      async *follow() {
        for (;;) yield await new Promise<FeedBatch>((resolve) => (push = resolve))
      },
    },
  })
  const seen: string[] = []
  const leaver = () => seen.push('leaver')
  await hub.join('orders', () => seen.push('all'))
  await hub.join('order:a', () => seen.push('order a'))
  await hub.join('customer:ada', () => seen.push('ada'))
  await hub.join('customer:bob', () => seen.push('bob'))
  await hub.join('orders', leaver)
  hub.leave('orders', leaver)
  push(batchOf(stored(1n, 'order-a', { customerId: 'ada' }), stored(2n, 'order-b', { customerId: 'bob' })))
  while (hub.position() < 2n) await new Promise((resolve) => setImmediate(resolve))
  expect(seen).toEqual(['order a', 'ada', 'all', 'bob', 'all'])
  ending.abort()
})
