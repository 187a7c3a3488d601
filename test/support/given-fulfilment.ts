import { evolve, type Fulfilment, observe, type Trigger } from '../../sagas/fulfilment.ts'
import { conclude, next } from '../../sagas/next-steps.ts'
import { type RetryPolicy, record, type StepResult } from '../../sagas/step-results.ts'
import type { FulfilmentEvent, FulfilmentStep } from '../../schemas/fulfilment.ts'
import type { CancelReason, OrderEvent } from '../../schemas/order.ts'

export const orderId = '7f3c1d52-8f64-4d4e-9a53-6b1f0c1c7a01'
export const startedAt = '2026-11-21T09:30:00.000Z'
export const deadlines = { reservationDeadlineMs: 60_000, authorisationDeadlineMs: 300_000 }
export const policy: RetryPolicy = { retryBaseMs: 1_000, retryCapMs: 60_000, maxAttempts: 4 }

type OrderEventNamed<Name> = Extract<OrderEvent, { type: Name }>
const order = { orderId, customerId: 'customer-1' }

export const placed = (...skus: readonly string[]): OrderEventNamed<'OrderPlaced'> => ({
  type: 'OrderPlaced',
  data: {
    ...order,
    lines: skus.map((sku) => ({ sku, name: sku, quantity: 2, unitPrice: { amount: 500, currency: 'EUR' } })),
    total: { amount: 1_000 * skus.length, currency: 'EUR' },
    personal: { keyId: orderId, iv: '', tag: '', ciphertext: '' },
    paymentToken: 'tok_approve',
    placedAt: startedAt,
  },
})

export const shipped: OrderEventNamed<'OrderShipped'> = {
  type: 'OrderShipped',
  data: { ...order, carrier: 'DHL', trackingId: 'T1', shippedAt: startedAt },
}

export const cancelled = (reason: CancelReason): OrderEventNamed<'OrderCancelled'> => ({
  type: 'OrderCancelled',
  data: {
    ...order,
    reason,
    lines: placed('a').data.lines,
    total: { amount: 1_000, currency: 'EUR' },
    confirmedAt: null,
    cancelledAt: startedAt,
  },
})

/** An instance that is played through by hand, in the manner of the process manager but without one. */
export interface Play {
  readonly state: Fulfilment
  /** The events since the last `when`. */
  readonly events: readonly FulfilmentEvent[]
  readonly steps: readonly FulfilmentStep[]
  when(...what: readonly (Trigger | [FulfilmentStep, StepResult | 'done'] | FulfilmentEvent)[]): Play
  /** Turns the clock. */
  after(ms: number): Play
}

const isResult = (what: Trigger | [FulfilmentStep, StepResult | 'done'] | FulfilmentEvent) => Array.isArray(what)
const triggers = new Set(['OrderPlaced', 'OrderShipped', 'OrderCancelled', 'Nudge'])

const at = (state: Fulfilment | null, events: readonly FulfilmentEvent[], now: Date): Play => {
  if (!state) throw new Error('nothing has begun')
  return {
    state,
    events,
    steps: next(state, now),
    after: (ms) => at(state, events, new Date(now.getTime() + ms)),
    when: (...what) => {
      let current: Fulfilment = state
      const added: FulfilmentEvent[] = []
      const add = (more: readonly FulfilmentEvent[]) => {
        for (const event of more) {
          current = evolve(current, event)
          added.push(event)
        }
      }
      for (const each of what) {
        if (isResult(each)) {
          const [step, result] = each as [FulfilmentStep, StepResult | 'done']
          add(record(current, step, result === 'done' ? { outcome: 'done' } : result, now, policy))
        } else if (triggers.has((each as Trigger).type)) add(observe(current, each as Trigger, now, deadlines))
        else add([each as FulfilmentEvent])
      }
      add(conclude(current, now))
      return at(current, added, now)
    },
  }
}

/** An instance that has just seen its order placed, with one line of two units for each SKU. */
export const given = (...skus: readonly string[]): Play => {
  const now = new Date(startedAt)
  const events = observe(null, placed(...skus), now, deadlines)
  return at(
    events.reduce<Fulfilment | null>((state, event) => evolve(state, event), null),
    events,
    now,
  )
}
