import type { PaymentEvent } from '../schemas/payment.ts'

/** One attempt to give money back. */
export interface RefundEntry {
  readonly refundId: string
  /** Minor units. */
  readonly amount: number
  readonly reason: string
  readonly status: 'requested' | 'refunded' | 'refused'
  /** When it was asked for or, once it is, settled. */
  readonly at: string
}

/** A row of the payments. Amounts in minor units of `currency`, which is null only before anything was asked for. */
export interface PaymentRow {
  readonly order_id: string
  readonly customer_id: string
  readonly status: 'requested' | 'authorised' | 'declined' | 'captured' | 'partially_refunded' | 'refunded' | 'voided'
  readonly currency: string | null
  readonly requested_amount: number
  readonly authorised_amount: number
  readonly captured_amount: number
  readonly refunded_amount: number
  readonly decline_reason: string | null
  readonly gateway_reference: string | null
  readonly refunds: readonly RefundEntry[]
  readonly requested_at: string | null
  readonly authorised_at: string | null
  readonly declined_at: string | null
  readonly captured_at: string | null
  readonly voided_at: string | null
}

const unknown: Omit<PaymentRow, 'order_id' | 'customer_id'> = {
  status: 'requested',
  currency: null,
  requested_amount: 0,
  authorised_amount: 0,
  captured_amount: 0,
  refunded_amount: 0,
  decline_reason: null,
  gateway_reference: null,
  refunds: [],
  requested_at: null,
  authorised_at: null,
  declined_at: null,
  captured_at: null,
  voided_at: null,
}

const settle = (row: PaymentRow, refundId: string, status: 'refunded' | 'refused', at: string): RefundEntry[] =>
  row.refunds.map((refund) => (refund.refundId === refundId ? { ...refund, status, at } : refund))

/** What an event makes of a payment's row. A payment may begin with its void: an order cancelled before it was charged. */
export const evolve = (before: PaymentRow | undefined, { type, data }: PaymentEvent): PaymentRow => {
  const row: PaymentRow = before ?? { ...unknown, order_id: data.orderId, customer_id: data.customerId }
  switch (type) {
    case 'AuthorisationRequested': {
      const { amount, currency } = data.amount
      return { ...row, currency, requested_amount: amount, requested_at: data.requestedAt }
    }
    case 'PaymentAuthorised': {
      const { amount, currency } = data.amount
      return {
        ...row,
        status: 'authorised',
        currency,
        authorised_amount: amount,
        gateway_reference: data.gatewayReference,
        authorised_at: data.authorisedAt,
      }
    }
    case 'PaymentDeclined':
      return { ...row, status: 'declined', decline_reason: data.reason, declined_at: data.declinedAt }
    case 'PaymentCaptured':
      return { ...row, status: 'captured', captured_amount: data.amount.amount, captured_at: data.capturedAt }
    case 'PaymentVoided':
      return { ...row, status: 'voided', voided_at: data.voidedAt }
    case 'RefundRequested': {
      const { refundId, reason, requestedAt } = data
      const refund: RefundEntry = { refundId, amount: data.amount.amount, reason, status: 'requested', at: requestedAt }
      return { ...row, refunds: [...row.refunds, refund] }
    }
    case 'PaymentRefunded': {
      const refunded_amount = row.refunded_amount + data.amount.amount
      return {
        ...row,
        status: refunded_amount < row.captured_amount ? 'partially_refunded' : 'refunded',
        refunded_amount,
        refunds: settle(row, data.refundId, 'refunded', data.refundedAt),
      }
    }
    case 'RefundRefused':
      return { ...row, refunds: settle(row, data.refundId, 'refused', data.refusedAt) }
    case 'CaptureRequested':
    case 'VoidRequested':
      return row
  }
}
