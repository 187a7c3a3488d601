import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createIdempotencyKeys, type IdempotencyKeys, type KeyedRequest } from './idempotency-keys.ts'
import { silentLogger } from './logging.ts'

let test: TestDatabase
const opened: IdempotencyKeys[] = []

beforeAll(async () => {
  test = await openTestDatabase()
})
afterAll(async () => {
  for (const keys of opened) keys.close()
  await test.drop()
})

const open = (options?: { leaseMs?: number; keepMs?: number }): IdempotencyKeys => {
  const keys = createIdempotencyKeys({ database: test.database, logger: silentLogger }, options)
  opened.push(keys)
  return keys
}
const aRequest = (): KeyedRequest => ({ scope: 'POST /v1/orders', key: randomUUID(), bodyHash: 'ab12' })
const reply = { status: 201, headers: { ETag: '"0"' }, body: '{"total": 1.10,  "é":"\\u0041"}' }

describe('an idempotency key', () => {
  it('is claimed by one of many that ask at once', async () => {
    const request = aRequest()
    const [here, elsewhere] = [open(), open()]
    const claims = await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 ? here : elsewhere).claim(request)))
    expect(claims.filter(({ outcome }) => outcome === 'claimed')).toHaveLength(1)
    expect(claims.filter(({ outcome }) => outcome === 'running')).toHaveLength(19)
  })

  it('is answered with the first reply, byte for byte, by any process', async () => {
    const request = aRequest()
    const keys = open()
    await keys.claim(request)
    await keys.complete(request, reply)
    expect(await open().claim(request)).toEqual({ outcome: 'answered', reply })
  })

  it('belongs to its first request', async () => {
    const request = aRequest()
    const keys = open()
    await keys.claim(request)
    expect(await keys.claim({ ...request, bodyHash: 'cd' })).toEqual({ outcome: 'other-request' })
    await keys.complete(request, reply)
    expect(await keys.claim({ ...request, bodyHash: 'cd' })).toEqual({ outcome: 'other-request' })
    expect(await keys.claim({ ...request, scope: 'POST /v1/products' })).toMatchObject({ outcome: 'claimed' })
  })

  it('that was released is tried again under the same command id', async () => {
    const request = aRequest()
    const keys = open()
    const first = await keys.claim(request)
    await keys.release(request)
    expect(await keys.claim(request)).toEqual({ ...first, repeated: true })
  })

  it('left behind by a dead process falls to the next that asks', async () => {
    const request = aRequest()
    const dead = open()
    const first = await dead.claim(request)
    dead.close()
    const next = open({ leaseMs: 50 })
    await expect.poll(() => next.claim(request)).toEqual({ ...first, repeated: true })
    await dead.complete(request, { ...reply, status: 500 })
    await next.complete(request, reply)
    expect(await next.claim(request)).toEqual({ outcome: 'answered', reply })
  })

  it('is kept by a process that goes on working on it', async () => {
    const request = aRequest()
    const working = open({ leaseMs: 90 })
    await working.claim(request)
    const renewals = async () => {
      const [row] = await test.database.query<{ renewed: boolean }>(
        'select renewed_at > claimed_at as renewed from platform.idempotency_keys where key = $1',
        [request.key],
      )
      return row?.renewed
    }
    await expect.poll(renewals).toBe(true)
  })

  it('is kept although another one of the process is locked by somebody', async () => {
    const working = open({ leaseMs: 90 })
    const [locked, other] = [aRequest(), aRequest()]
    await working.claim(locked)
    await test.database.transaction(async (transaction) => {
      await transaction.query('select from platform.idempotency_keys where key = $1 for update', [locked.key])
      await working.claim(other)
      const renewals = async () => {
        const [row] = await test.database.query<{ renewed: boolean }>(
          `select renewed_at > claimed_at + interval '200 milliseconds' as renewed from platform.idempotency_keys where key = $1`,
          [other.key],
        )
        return row?.renewed
      }
      await expect.poll(renewals).toBe(true)
    })
  })

  it('is free again after its time, as if it had never been', async () => {
    const request = aRequest()
    const keys = open()
    const first = await keys.claim(request)
    await keys.complete(request, reply)
    await test.database.query(
      `update platform.idempotency_keys set claimed_at = claimed_at - interval '25 hours' where key = $1`,
      [request.key],
    )
    const again = await keys.claim({ ...request, bodyHash: 'cd' })
    expect(again).toMatchObject({ outcome: 'claimed', repeated: false })
    expect(again).not.toEqual(first)
  })

  it('is dropped after its time', async () => {
    const request = aRequest()
    const keys = open()
    await keys.claim(request)
    await test.database.query(
      `update platform.idempotency_keys set claimed_at = claimed_at - interval '25 hours' where key = $1`,
      [request.key],
    )
    expect(await keys.purge()).toBe(1)
    expect(await keys.purge()).toBe(0)
  })
})
