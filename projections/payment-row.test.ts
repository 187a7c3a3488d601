import { expect, test } from 'vitest'
import type { PaymentEvent } from '../schemas/payment.ts'
import { evolve, type PaymentRow } from './payment-row.ts'

const order = { orderId: '7f3c1d52-8f64-4d4e-9a53-6b1f0c1c7a01', customerId: 'customer-1' }
const at = '2026-03-01T09:00:00.000Z'
const euros = (amount: number) => ({ amount, currency: 'EUR' })
const refund = (refundId: string, amount: number) => ({ ...order, refundId, amount: euros(amount) })
const asked = { reason: 'broken', gatewayKey: 'k', requestedAt: at }
const charged: PaymentEvent[] = [
  {
    type: 'AuthorisationRequested',
    data: { ...order, amount: euros(500), paymentToken: 't', gatewayKey: 'k', requestedAt: at },
  },
  { type: 'PaymentAuthorised', data: { ...order, amount: euros(500), gatewayReference: 'r', authorisedAt: at } },
  { type: 'CaptureRequested', data: { ...order, amount: euros(500), gatewayKey: 'k', requestedAt: at } },
  { type: 'PaymentCaptured', data: { ...order, amount: euros(500), capturedAt: at } },
]
const after = (...events: PaymentEvent[]) => events.reduce<PaymentRow | undefined>(evolve, undefined)

test('a payment is requested, authorised and captured', () => {
  expect(after(...charged.slice(0, 1))).toMatchObject({
    status: 'requested',
    requested_amount: 500,
    authorised_amount: 0,
  })
  expect(after(...charged.slice(0, 3))).toMatchObject({
    status: 'authorised',
    authorised_amount: 500,
    captured_amount: 0,
  })
  expect(after(...charged)).toMatchObject({ status: 'captured', captured_amount: 500, currency: 'EUR' })
})

test('refunds are listed with what became of them and counted only when paid', () => {
  const some: PaymentEvent[] = [
    { type: 'RefundRequested', data: { ...refund('a', 200), ...asked } },
    { type: 'RefundRequested', data: { ...refund('b', 900), ...asked } },
    { type: 'RefundRefused', data: { ...refund('b', 900), reason: 'too much', refusedAt: at } },
    { type: 'PaymentRefunded', data: { ...refund('a', 200), refundedAt: at } },
  ]
  expect(after(...charged, ...some)).toMatchObject({
    status: 'partially_refunded',
    refunded_amount: 200,
    refunds: [
      { refundId: 'a', amount: 200, status: 'refunded' },
      { refundId: 'b', amount: 900, status: 'refused', reason: 'broken' },
    ],
  })
  const rest: PaymentEvent[] = [
    { type: 'RefundRequested', data: { ...refund('c', 300), ...asked } },
    { type: 'PaymentRefunded', data: { ...refund('c', 300), refundedAt: at } },
  ]
  expect(after(...charged, ...some, ...rest)).toMatchObject({ status: 'refunded', refunded_amount: 500 })
})

test('a declined payment says why, and a payment may begin with its void', () => {
  expect(after({ type: 'PaymentDeclined', data: { ...order, reason: 'no funds', declinedAt: at } })).toMatchObject({
    status: 'declined',
    decline_reason: 'no funds',
  })
  expect(
    after(
      { type: 'VoidRequested', data: { ...order, gatewayKey: 'k', requestedAt: at } },
      { type: 'PaymentVoided', data: { ...order, voidedAt: at } },
    ),
  ).toMatchObject({ status: 'voided', currency: null, authorised_amount: 0 })
})
