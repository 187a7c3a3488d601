import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import type { PaymentGateway } from './payment-gateway.ts'
import { createSimulatedPaymentGateway } from './simulated-payment-gateway.ts'

let test: TestDatabase
let gateway: PaymentGateway

beforeAll(async () => {
  test = await openTestDatabase()
  gateway = createSimulatedPaymentGateway({ database: test.database, lateMs: 5 })
})
afterAll(() => test.drop())

const amount = { amount: 1_000, currency: 'EUR' }
const authorisation = (paymentToken = 'tok_approve') => ({
  key: `a-${randomUUID()}`,
  orderId: randomUUID(),
  amount,
  paymentToken,
})
const key = () => `k-${randomUUID()}`
const approvedOne = async (paymentToken?: string) => {
  const call = authorisation(paymentToken)
  await gateway.authorise(call)
  return call.key
}
const capturedOne = async () => {
  const authorisationKey = await approvedOne()
  await gateway.capture({ key: key(), authorisationKey, amount })
  return authorisationKey
}

describe('tokens', () => {
  it.each([
    ['tok_approve_visa', 'approved'],
    ['anything-else', 'approved'],
    ['tok_late', 'approved'],
    ['tok_decline', 'declined'],
    ['tok_decline_always', 'declined'],
    ['tok_timeout_charged', 'unknown'],
    ['tok_fail_1', 'unavailable'],
  ])('%s is %s', async (token, outcome) => {
    expect(await gateway.authorise(authorisation(token))).toMatchObject({ outcome })
  })

  it('tok_timeout_charged has charged, as the look-up shows', async () => {
    const call = authorisation('tok_timeout_charged')
    await gateway.authorise(call)
    expect(await gateway.find(call.key)).toMatchObject({ outcome: 'approved' })
  })

  it('tok_fail_2 fails twice, having done nothing, and then approves', async () => {
    const call = authorisation('tok_fail_2')
    expect(await gateway.authorise(call)).toMatchObject({ outcome: 'unavailable' })
    expect(await gateway.find(call.key)).toEqual({ outcome: 'absent' })
    expect(await gateway.authorise(call)).toMatchObject({ outcome: 'unavailable' })
    expect(await gateway.authorise(call)).toMatchObject({ outcome: 'approved' })
    expect(await gateway.find(call.key)).toMatchObject({ outcome: 'approved' })
  })

  it('tok_capture_fails approves and declines every capture', async () => {
    const authorisationKey = await approvedOne('tok_capture_fails')
    const capture = { key: key(), authorisationKey, amount }
    expect(await gateway.capture(capture)).toEqual({ outcome: 'declined', reason: 'capture_failed' })
    expect(await gateway.find(capture.key)).toEqual({ outcome: 'absent' })
    expect(await gateway.void({ key: key(), authorisationKey })).toMatchObject({ outcome: 'approved' })
  })
})

describe('keys', () => {
  it('make a repeated call one call with one answer', async () => {
    const call = authorisation()
    const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.authorise(call)))
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    const capture = { key: key(), authorisationKey: call.key, amount }
    expect(await gateway.capture(capture)).toEqual(await gateway.capture(capture))
    const [row] = await test.database.query<{ charges: bigint }>(
      'select count(*) as charges from gateway.authorisations where order_id = $1',
      [call.orderId],
    )
    expect(row?.charges).toBe(1n)
  })

  it('are absent before they are used', async () => {
    expect(await gateway.find(key())).toEqual({ outcome: 'absent' })
  })

  it('find captures, voids and refunds too', async () => {
    const [capture, refund, release] = [key(), key(), key()]
    const authorisationKey = await approvedOne()
    await gateway.capture({ key: capture, authorisationKey, amount })
    await gateway.refund({ key: refund, authorisationKey, amount })
    await gateway.void({ key: release, authorisationKey: await approvedOne() })
    for (const one of [capture, refund, release]) expect(await gateway.find(one)).toMatchObject({ outcome: 'approved' })
  })
})

describe('a capture', () => {
  it('needs an authorisation that is open', async () => {
    expect(await gateway.capture({ key: key(), authorisationKey: key(), amount })).toMatchObject({
      outcome: 'declined',
    })
    const voided = await approvedOne()
    await gateway.void({ key: key(), authorisationKey: voided })
    expect(await gateway.capture({ key: key(), authorisationKey: voided, amount })).toMatchObject({
      outcome: 'declined',
    })
  })

  it('is done once, whatever its key', async () => {
    const authorisationKey = await capturedOne()
    expect(await gateway.capture({ key: key(), authorisationKey, amount })).toMatchObject({ outcome: 'declined' })
  })
})

describe('a void', () => {
  it('marks a key that never came, so that it is declined when it comes late', async () => {
    const late = authorisation()
    expect(await gateway.void({ key: key(), authorisationKey: late.key })).toMatchObject({ outcome: 'approved' })
    expect(await gateway.find(late.key)).toEqual({ outcome: 'absent' })
    expect(await gateway.authorise(late)).toEqual({ outcome: 'declined', reason: 'authorisation_voided' })
  })

  it('comes too late after the capture', async () => {
    const authorisationKey = await capturedOne()
    expect(await gateway.void({ key: key(), authorisationKey })).toMatchObject({ outcome: 'declined' })
  })

  it('stops an authorisation that would have failed a few times first', async () => {
    const call = authorisation('tok_fail_1')
    await gateway.authorise(call)
    await gateway.void({ key: key(), authorisationKey: call.key })
    expect(await gateway.authorise(call)).toMatchObject({ outcome: 'declined' })
  })
})

describe('refunds', () => {
  it('never add up to more than was captured, however many come at once', async () => {
    const authorisationKey = await capturedOne()
    const other = createSimulatedPaymentGateway({ database: test.database })
    const refunds = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        (n % 2 ? gateway : other).refund({ key: key(), authorisationKey, amount: { ...amount, amount: 300 } }),
      ),
    )
    expect(refunds.filter(({ outcome }) => outcome === 'approved')).toHaveLength(3)
  })

  it('are declined before the capture', async () => {
    const refund = { key: key(), authorisationKey: await approvedOne(), amount }
    expect(await gateway.refund(refund)).toMatchObject({ outcome: 'declined' })
  })
})
