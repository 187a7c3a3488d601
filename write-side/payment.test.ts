import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CommandRejected } from '../schemas/errors.ts'
import type { PaymentCommand, PaymentEvent } from '../schemas/payment.ts'
import { given } from '../test/support/given.ts'
import { type Payment, paymentDecider, refundedOf } from './payment.ts'
import { callFor, openCalls, recordOf } from './payment-calls.ts'

const at = '2026-11-21T09:30:00.000Z'
const orderId = '0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d0001'
const refundIds = [1, 2, 3].map((n) => `0b9f3bb2-8e6e-4b0c-9d59-3a0a8f1d01${n}0`)
const who = { orderId, customerId: 'c' }
const euros = (amount: number) => ({ amount, currency: 'EUR' })
const amount = euros(1_000)

const authorise: PaymentCommand = { type: 'AuthorisePayment', at, ...who, amount, paymentToken: 'tok' }
const capture: PaymentCommand = { type: 'CapturePayment', at, orderId }
const cancel: PaymentCommand = { type: 'VoidPayment', at, orderId }
const refund = (sum: number, refundId = refundIds[0] ?? '', currency = 'EUR'): PaymentCommand => ({
  type: 'RefundPayment',
  at,
  orderId,
  refundId,
  amount: { amount: sum, currency },
  reason: 'damaged',
})

const key = (step: string) => `${orderId}:${step}`
const requested: PaymentEvent = {
  type: 'AuthorisationRequested',
  data: { ...who, amount, paymentToken: 'tok', gatewayKey: key('authorise'), requestedAt: at },
}
const authorised: PaymentEvent = {
  type: 'PaymentAuthorised',
  data: { ...who, amount, gatewayReference: 'ref', authorisedAt: at },
}
const declined: PaymentEvent = { type: 'PaymentDeclined', data: { ...who, reason: 'card_declined', declinedAt: at } }
const captureRequested: PaymentEvent = {
  type: 'CaptureRequested',
  data: { ...who, amount, gatewayKey: key('capture'), requestedAt: at },
}
const captured: PaymentEvent = { type: 'PaymentCaptured', data: { ...who, amount, capturedAt: at } }
const voidRequested: PaymentEvent = {
  type: 'VoidRequested',
  data: { ...who, gatewayKey: key('void'), requestedAt: at },
}
const voided: PaymentEvent = { type: 'PaymentVoided', data: { ...who, voidedAt: at } }
const refundRequested = (sum: number, refundId = refundIds[0] ?? ''): PaymentEvent => ({
  type: 'RefundRequested',
  data: {
    ...who,
    refundId,
    amount: euros(sum),
    reason: 'damaged',
    gatewayKey: key(`refund:${refundId}`),
    requestedAt: at,
  },
})
const refundRefused = (sum: number, refundId = refundIds[0] ?? ''): PaymentEvent => ({
  type: 'RefundRefused',
  data: { ...who, refundId, amount: euros(sum), reason: 'no', refusedAt: at },
})

const histories = {
  none: [],
  authorising: [requested],
  authorised: [requested, authorised],
  declined: [requested, declined],
  capturing: [requested, authorised, captureRequested],
  captured: [requested, authorised, captureRequested, captured],
  voiding: [requested, authorised, voidRequested],
  voided: [requested, authorised, voidRequested, voided],
} as const satisfies Record<Payment['status'], readonly PaymentEvent[]>
type Status = keyof typeof histories
const when = (status: Status, command: PaymentCommand) => given(paymentDecider, ...histories[status]).when(command)

const table: [PaymentCommand['type'], PaymentCommand, Record<Status, unknown>][] = [
  [
    'AuthorisePayment',
    authorise,
    {
      none: [requested],
      authorising: [],
      authorised: [],
      declined: 'payment-settled',
      capturing: [],
      captured: [],
      voiding: 'payment-settled',
      voided: 'payment-settled',
    },
  ],
  [
    'CapturePayment',
    capture,
    {
      none: 'payment-not-found',
      authorising: 'payment-not-authorised',
      authorised: [captureRequested],
      declined: 'payment-not-authorised',
      capturing: [],
      captured: [],
      voiding: 'payment-settled',
      voided: 'payment-settled',
    },
  ],
  [
    'VoidPayment',
    cancel,
    {
      none: 'payment-not-found',
      authorising: [voidRequested],
      authorised: [voidRequested],
      declined: [],
      capturing: [voidRequested],
      captured: 'payment-already-captured',
      voiding: [],
      voided: [],
    },
  ],
  [
    'RefundPayment',
    refund(400),
    {
      none: 'payment-not-found',
      authorising: 'payment-not-captured',
      authorised: 'payment-not-captured',
      declined: 'payment-not-captured',
      capturing: 'payment-not-captured',
      captured: [refundRequested(400)],
      voiding: 'payment-not-captured',
      voided: 'payment-not-captured',
    },
  ],
]

describe.each(table)('%s', (_, command, expected) => {
  it.each(Object.entries(expected) as [Status, unknown][])('on a payment that is %s', (status, outcome) => {
    expect(when(status, command)).toEqual(outcome)
  })
})

describe('one charge per order', () => {
  it('is not authorised with other particulars', () => {
    expect(when('authorised', { ...authorise, amount: euros(1) })).toBe('payment-mismatch')
    expect(when('captured', { ...authorise, paymentToken: 'other' })).toBe('payment-mismatch')
  })
  it('can be ruled out before it is ever asked for', () => {
    const events = given(paymentDecider).when({ ...cancel, customerId: 'c' })
    expect(events).toEqual([voidRequested])
    expect(given(paymentDecider, voidRequested, voided).when(authorise)).toBe('payment-settled')
  })
})

describe('refunds', () => {
  it('may add up to what was captured, those under way included', () => {
    const history = [...histories.captured, refundRequested(700)]
    expect(given(paymentDecider, ...history).when(refund(300, refundIds[1]))).toEqual([
      refundRequested(300, refundIds[1]),
    ])
    expect(given(paymentDecider, ...history).when(refund(301, refundIds[1]))).toBe('refund-exceeds-captured')
  })
  it('do not count when they were refused', () => {
    const history = [...histories.captured, refundRequested(700), refundRefused(700)]
    expect(given(paymentDecider, ...history).when(refund(1_000, refundIds[1]))).toHaveLength(1)
    expect(given(paymentDecider, ...history).when(refund(700))).toBe('refund-refused')
  })
  it('change nothing when they are repeated, and are not repeated with another amount', () => {
    const history = [...histories.captured, refundRequested(700)]
    expect(given(paymentDecider, ...history).when(refund(700))).toEqual([])
    expect(given(paymentDecider, ...history).when(refund(600))).toBe('payment-mismatch')
  })
  it('are in the currency of the payment', () => {
    expect(when('captured', refund(1, refundIds[0], 'USD'))).toBe('currency-mismatch')
  })
})

describe('what came of a call', () => {
  const stateOf = (status: Status) =>
    (histories[status] as readonly PaymentEvent[]).reduce(paymentDecider.evolve, paymentDecider.initial)
  const approved = { outcome: 'approved', reference: 'ref' } as const

  it('is recorded once, and not when the payment has moved on', () => {
    const [call] = openCalls(stateOf('authorising'))
    if (!call) throw new Error('an authorisation under way has an open call')
    expect(recordOf(stateOf('authorising'), call, approved, at)).toEqual([authorised])
    expect(recordOf(stateOf('authorised'), call, approved, at)).toEqual([])
    expect(recordOf(stateOf('voiding'), call, approved, at)).toEqual([])
  })
  it('is kept within what an event may hold', () => {
    const [call] = openCalls(stateOf('authorising'))
    if (!call) throw new Error('an authorisation under way has an open call')
    const [event] = recordOf(stateOf('authorising'), call, { outcome: 'declined', reason: `\n${'x'.repeat(500)}` }, at)
    expect(event).toMatchObject({ data: { reason: ` ${'x'.repeat(199)}` } })
  })
  it('shows a capture that went through although the payment is being voided', () => {
    const history = [...histories.capturing, voidRequested]
    const state = history.reduce(paymentDecider.evolve, paymentDecider.initial)
    const [capturing] = openCalls(state)
    if (!capturing) throw new Error('the capture is still open')
    expect(recordOf(state, capturing, approved, at)).toEqual([captured])
    expect(given(paymentDecider, ...history, captured).when(cancel)).toBe('payment-already-captured')
  })
})

const commands: fc.Arbitrary<PaymentCommand> = fc.oneof(
  fc.constant(authorise),
  fc.constant(capture),
  fc.constantFrom(cancel, { ...cancel, customerId: 'c' }),
  fc.tuple(fc.integer({ min: 1, max: 1_200 }), fc.constantFrom(...refundIds)).map(([sum, id]) => refund(sum, id)),
)

describe('whatever is asked and whatever the provider says', () => {
  it('refunds never exceed what was captured, and nothing is charged twice or after it was voided', () => {
    const step = fc.record({ command: commands, says: fc.constantFrom('approved', 'declined', 'nothing') })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let state = paymentDecider.initial
        const log: PaymentEvent[] = []
        const add = (events: readonly PaymentEvent[]) => {
          state = events.reduce(paymentDecider.evolve, state)
          log.push(...events)
        }
        for (const { command, says } of steps) {
          try {
            add(paymentDecider.decide(command, state))
          } catch (error) {
            if (!(error instanceof CommandRejected)) throw error
          }
          const call = callFor(command, state)
          if (call && says === 'approved') add(recordOf(state, call, { outcome: says, reference: 'ref' }, at))
          if (call && says === 'declined') add(recordOf(state, call, { outcome: says, reason: 'no' }, at))
          if (state.status === 'captured') expect(refundedOf(state.refunds)).toBeLessThanOrEqual(amount.amount)
        }
        const countOf = (type: PaymentEvent['type']) => log.filter((event) => event.type === type).length
        for (const type of ['AuthorisationRequested', 'PaymentAuthorised', 'PaymentCaptured', 'PaymentVoided'] as const)
          expect(countOf(type)).toBeLessThanOrEqual(1)
        expect(countOf('PaymentCaptured') + countOf('PaymentVoided')).toBeLessThanOrEqual(1)
      }),
    )
  })
})
