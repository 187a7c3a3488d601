import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatConsistencyToken } from '../platform/consistency-token.ts'
import { silentLogger } from '../platform/logging.ts'
import { createConsistencyWaiter } from '../projections/consistency.ts'
import { ask } from '../test/support/ask.ts'
import { givenOrder } from '../test/support/given-order.ts'
import { openReadSide, type ReadSide } from '../test/support/read-side.ts'

let side: ReadSide
let asleep: ReadSide
beforeAll(async () => {
  side = await openReadSide()
  asleep = await openReadSide({ projecting: false })
})
afterAll(async () => {
  await side.close()
  await asleep.close()
})

const tokenAt = async (of: ReadSide, position: bigint) => ({
  'Consistency-Token': formatConsistencyToken(await of.store.identity(), position),
})

test('a read with the token of a write waits until it sees the write', async () => {
  for (let n = 0; n < 20; n += 1) {
    const order = givenOrder(side)
    const token = await tokenAt(side, await side.record(order.stream, order.placed))
    const { status, headers } = await ask(side, `/v1/orders/${order.orderId}?waitMs=10000`, token)
    expect([status, headers.get('consistency')]).toEqual([200, 'current'])
  }
})

test('a read without a token says nothing of consistency', async () => {
  const { headers } = await ask(side, '/v1/orders')
  expect(headers.get('consistency')).toBeNull()
})

test('a read model that does not get there in time answers as it is and says so', async () => {
  const token = await tokenAt(side, (await side.store.head()) + 1_000n)
  const { status, headers } = await ask(side, '/v1/orders?waitMs=0', token)
  expect([status, headers.get('consistency')]).toEqual([200, 'stale'])
})

test('what is not there while the read model lags is "not yet", never "not found"', async () => {
  const token = await tokenAt(side, (await side.store.head()) + 1_000n)
  for (const path of [
    `/v1/orders/${randomUUID()}`,
    `/v1/orders/${randomUUID()}/timeline`,
    '/v1/stock/none',
    '/v1/products/none',
    `/v1/payments/${randomUUID()}`,
    '/v1/customers/nobody/orders',
  ]) {
    const { status, headers, body } = await ask(side, `${path}?waitMs=1`, token)
    expect([path, status, body.code]).toEqual([path, 503, 'not-yet-visible'])
    expect([headers.get('consistency'), headers.get('retry-after')]).toEqual(['stale', '1'])
  }
})

test('a write whose event is parked is not visible, though the checkpoint has passed it', async () => {
  const order = givenOrder(side)
  const id = randomUUID()
  const metadata = { commandId: id, correlationId: id, causationId: id, actor: 'test:nobody' }
  const poison = { id, type: 'order.placed.v2', data: { orderId: order.orderId }, metadata }
  const result = await side.store.append(order.stream, [poison], 'none')
  if (result.outcome !== 'appended') throw new Error('the stream is new')
  const token = await tokenAt(side, result.position)
  const { status, headers, body } = await ask(side, `/v1/orders/${order.orderId}`, token)
  expect([status, body.code, headers.get('consistency')]).toEqual([503, 'not-yet-visible', 'stale'])
})

test('an empty log is visible at once, before any projection has run', async () => {
  const waiter = createConsistencyWaiter({ database: asleep.database, logger: silentLogger })
  expect(await waiter.waitFor(['order_details', 'sales'], 0n, 10_000)).toBe(true)
})

test('a projection is waited for alone: checkpoints that another engine does not tell hold up nobody', async () => {
  const gone = new AbortController()
  const silent = { checkpoints: () => new Promise<never>(() => undefined) }
  const waiter = createConsistencyWaiter({
    database: side.database,
    logger: silentLogger,
    elsewhere: { order_search: silent },
  })
  const order = givenOrder(side)
  const position = await side.record(order.stream, order.placed)
  const searching = waiter.waitFor(['order_search'], position, 2_147_483_647, gone.signal)
  expect(await waiter.waitFor(['order_details'], position, 90_000)).toBe(true)
  gone.abort()
  expect(await searching).toBe(false)
})

test('a token of another log or of nobody is refused', async () => {
  for (const token of [formatConsistencyToken(randomUUID(), 1n), 'nonsense', '', '0-0'])
    expect((await ask(side, '/v1/orders', { 'Consistency-Token': token })).body).toMatchObject({
      status: 400,
      code: 'invalid-consistency-token',
    })
})

test('a read model that was never built is a 503, not a failure', async () => {
  expect((await ask(asleep, '/v1/orders')).body).toMatchObject({ status: 503, code: 'read-model-absent' })
})
