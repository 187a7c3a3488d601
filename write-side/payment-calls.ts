import type { PaymentCommand, PaymentEvent } from '../schemas/payment.ts'
import type { Money } from '../schemas/primitives.ts'
import { gatewayKeys } from './gateway-keys.ts'
import type { Payment } from './payment.ts'

/** A call that was announced and whose outcome is not recorded. */
export type PaymentCall =
  | { readonly operation: 'authorise'; readonly key: string; readonly amount: Money; readonly paymentToken: string }
  | { readonly operation: 'capture'; readonly key: string; readonly amount: Money }
  | { readonly operation: 'void'; readonly key: string }
  | { readonly operation: 'refund'; readonly key: string; readonly amount: Money; readonly refundId: string }

/** Every call of which the log does not know what came. */
export const openCalls = (payment: Payment): PaymentCall[] => {
  switch (payment.status) {
    case 'authorising':
      return [{ operation: 'authorise', key: gatewayKeys.authorise(payment.orderId), ...payment.charge }]
    case 'capturing':
      return [{ operation: 'capture', key: gatewayKeys.capture(payment.orderId), amount: payment.charge.amount }]
    case 'voiding': {
      const voiding: PaymentCall = { operation: 'void', key: gatewayKeys.void(payment.orderId) }
      if (!payment.wasCapturing || !payment.charge) return [voiding]
      const { amount } = payment.charge
      return [{ operation: 'capture', key: gatewayKeys.capture(payment.orderId), amount }, voiding]
    }
    case 'captured':
      return Object.entries(payment.refunds)
        .filter(([, refund]) => refund.status === 'pending')
        .map(([refundId, { amount }]) => ({
          operation: 'refund',
          key: gatewayKeys.refund(payment.orderId, refundId),
          amount,
          refundId,
        }))
    default:
      return []
  }
}

/** The open call that a command is about, if any is left to be made. */
export const callFor = (command: PaymentCommand, payment: Payment): PaymentCall | undefined =>
  openCalls(payment).find((call) => {
    switch (command.type) {
      case 'AuthorisePayment':
        return call.operation === 'authorise'
      case 'CapturePayment':
        return call.operation === 'capture' && payment.status === 'capturing'
      case 'VoidPayment':
        return call.operation === 'void'
      case 'RefundPayment':
        return call.operation === 'refund' && call.refundId === command.refundId
      default:
        return command satisfies never
    }
  })

/** What the gateway finally said: a refusal of a capture or a void is no event, since it may be tried again. */
export type CallResult =
  | { readonly outcome: 'approved'; readonly reference: string }
  | { readonly outcome: 'declined'; readonly reason: string }

/** A provider's words, within what an event may hold. */
const reasonOf = (reason: string): string =>
  reason
    .replace(/\p{Cc}/gu, ' ')
    .slice(0, 200)
    .toWellFormed() || 'no reason given'

/** The event that records what came of a call; `[]` when the payment has moved on and it does not matter any more. */
export const recordOf = (payment: Payment, call: PaymentCall, result: CallResult, at: string): PaymentEvent[] => {
  if (payment.status === 'none' || !openCalls(payment).some((open) => open.key === call.key)) return []
  const { orderId, customerId } = payment
  const who = { orderId, customerId }
  const approved = result.outcome === 'approved'
  switch (call.operation) {
    case 'authorise':
      return approved
        ? [
            {
              type: 'PaymentAuthorised',
              data: { ...who, amount: call.amount, gatewayReference: result.reference, authorisedAt: at },
            },
          ]
        : [{ type: 'PaymentDeclined', data: { ...who, reason: reasonOf(result.reason), declinedAt: at } }]
    case 'capture':
      return approved ? [{ type: 'PaymentCaptured', data: { ...who, amount: call.amount, capturedAt: at } }] : []
    case 'void':
      return approved ? [{ type: 'PaymentVoided', data: { ...who, voidedAt: at } }] : []
    case 'refund': {
      const { refundId, amount } = call
      return approved
        ? [{ type: 'PaymentRefunded', data: { ...who, refundId, amount, refundedAt: at } }]
        : [
            {
              type: 'RefundRefused',
              data: { ...who, refundId, amount, reason: reasonOf(result.reason), refusedAt: at },
            },
          ]
    }
    default:
      return call satisfies never
  }
}
