import { describe, expect, it } from 'vitest'
import { createGuardedPaymentGateway } from './guarded-payment-gateway.ts'
import { silentLogger } from './logging.ts'
import { createMetrics } from './metrics.ts'
import type { GatewayOutcome, PaymentGateway } from './payment-gateway.ts'

const approved: GatewayOutcome = { outcome: 'approved', reference: 'ref' }
const call = { key: 'k', orderId: 'o', amount: { amount: 1, currency: 'EUR' }, paymentToken: 'tok' }

/** A gateway whose authorisations do as told; `calls` counts those that reached it. */
const scripted = (
  answer: () => Promise<GatewayOutcome>,
  options: { failuresToOpen?: number; openMs?: number } = {},
) => {
  let calls = 0
  const gateway: PaymentGateway = {
    authorise: () => {
      calls += 1
      return answer()
    },
    capture: async () => approved,
    void: async () => approved,
    refund: async () => approved,
    find: async () => ({ outcome: 'absent' }),
  }
  const metrics = createMetrics()
  const guarded = createGuardedPaymentGateway({ gateway, timeoutMs: 20, logger: silentLogger, metrics, ...options })
  return { guarded, metrics, calls: () => calls }
}

describe('the guard of the payment gateway', () => {
  it('passes answers on', async () => {
    const { guarded } = scripted(async () => approved)
    expect(await guarded.authorise(call)).toEqual(approved)
    expect(await guarded.find('k')).toEqual({ outcome: 'absent' })
  })

  it('calls the outcome unknown when no answer comes', async () => {
    const { guarded } = scripted(() => new Promise(() => undefined))
    expect(await guarded.authorise(call)).toEqual({ outcome: 'unknown' })
  })

  it('calls the outcome unknown when the call breaks off', async () => {
    const { guarded } = scripted(() => Promise.reject(new Error('socket hang up')))
    expect(await guarded.authorise(call)).toEqual({ outcome: 'unknown' })
  })

  it('leaves a gateway alone that fails again and again, and tries it again later', async () => {
    let answer: GatewayOutcome = { outcome: 'unavailable', reason: '503' }
    const { guarded, calls } = scripted(async () => answer, { failuresToOpen: 3, openMs: 1 })
    for (let n = 0; n < 3; n += 1) await guarded.authorise(call)
    answer = approved
    await expect.poll(() => guarded.authorise(call)).toEqual(approved)
    expect(calls()).toBe(4)
  })

  it('is certain that nothing was done while it leaves the gateway alone', async () => {
    const { guarded, calls } = scripted(async () => ({ outcome: 'unknown' }), { failuresToOpen: 2, openMs: 60_000 })
    for (let n = 0; n < 2; n += 1) await guarded.authorise(call)
    expect(await guarded.authorise(call)).toMatchObject({ outcome: 'unavailable' })
    expect(calls()).toBe(2)
  })

  it('does not count refusals as failures', async () => {
    const { guarded, calls } = scripted(async () => ({ outcome: 'declined', reason: 'no' }), { failuresToOpen: 2 })
    for (let n = 0; n < 5; n += 1) await guarded.authorise(call)
    expect(calls()).toBe(5)
  })

  it('measures each call by its outcome', async () => {
    const { guarded, metrics } = scripted(async () => approved)
    await guarded.authorise(call)
    expect(await metrics.registry.metrics()).toContain(
      'orderlog_payment_gateway_seconds_count{operation="authorise",outcome="approved"} 1',
    )
  })
})
