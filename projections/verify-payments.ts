import { paymentStream } from '../schemas/streams.ts'
import { type ExpectedRow, type RowModel, stampsOf } from './verify-model.ts'

interface Refund {
  refundId: string
  amount: number
  reason: string
  status: string
  at: string
}

const nothingYet = {
  status: 'requested',
  currency: null,
  requested_amount: 0,
  authorised_amount: 0,
  captured_amount: 0,
  refunded_amount: 0,
  decline_reason: null,
  gateway_reference: null,
  refunds: [] as Refund[],
  requested_at: null,
  authorised_at: null,
  declined_at: null,
  captured_at: null,
  voided_at: null,
}

/** What was charged and given back, folded plainly. */
export const paymentsModel: RowModel = {
  types: [
    'AuthorisationRequested',
    'PaymentAuthorised',
    'PaymentDeclined',
    'CaptureRequested',
    'PaymentCaptured',
    'VoidRequested',
    'PaymentVoided',
    'RefundRequested',
    'PaymentRefunded',
    'RefundRefused',
  ],
  keyOf: (event) => (event.data as { orderId: string }).orderId,
  originOf: (key) => ({ stream: paymentStream(key) }),
  fold: (row, event) => {
    const { orderId, customerId } = event.data as { orderId: string; customerId: string }
    const fields: ExpectedRow['fields'] = row
      ? row.fields
      : { order_id: orderId, customer_id: customerId, ...nothingYet }
    const now = (changes: ExpectedRow['fields'] = {}) => ({ fields: { ...fields, ...changes, ...stampsOf(event) } })
    const refunds = fields.refunds as Refund[]
    if (event.type === 'AuthorisationRequested') {
      const { amount, requestedAt } = event.data
      return now({ currency: amount.currency, requested_amount: amount.amount, requested_at: requestedAt })
    }
    if (event.type === 'PaymentAuthorised') {
      const { amount, gatewayReference, authorisedAt } = event.data
      return now({
        status: 'authorised',
        currency: amount.currency,
        authorised_amount: amount.amount,
        gateway_reference: gatewayReference,
        authorised_at: authorisedAt,
      })
    }
    if (event.type === 'PaymentDeclined')
      return now({ status: 'declined', decline_reason: event.data.reason, declined_at: event.data.declinedAt })
    if (event.type === 'PaymentCaptured') {
      const { amount, capturedAt } = event.data
      return now({ status: 'captured', captured_amount: amount.amount, captured_at: capturedAt })
    }
    if (event.type === 'PaymentVoided') return now({ status: 'voided', voided_at: event.data.voidedAt })
    if (event.type === 'RefundRequested') {
      const { refundId, amount, reason, requestedAt } = event.data
      const refund = { refundId, amount: amount.amount, reason, status: 'requested', at: requestedAt }
      return now({ refunds: [...refunds, refund] })
    }
    if (event.type === 'PaymentRefunded') {
      const { refundId, amount, refundedAt } = event.data
      const refunded = Number(fields.refunded_amount) + amount.amount
      return now({
        status: refunded >= Number(fields.captured_amount) ? 'refunded' : 'partially_refunded',
        refunded_amount: refunded,
        refunds: refunds.map((each) =>
          each.refundId === refundId ? { ...each, status: 'refunded', at: refundedAt } : each,
        ),
      })
    }
    if (event.type === 'RefundRefused') {
      const { refundId, refusedAt } = event.data
      return now({
        refunds: refunds.map((each) =>
          each.refundId === refundId ? { ...each, status: 'refused', at: refusedAt } : each,
        ),
      })
    }
    return now()
  },
}
