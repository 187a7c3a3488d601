import { CommandRejected } from '../schemas/errors.ts'
import type { PaymentCommand, PaymentEvent } from '../schemas/payment.ts'
import type { Money } from '../schemas/primitives.ts'
import type { Decider } from './decider.ts'
import { gatewayKeys } from './gateway-keys.ts'

interface Charge {
  readonly amount: Money
  readonly paymentToken: string
}

export interface Refund {
  readonly status: 'pending' | 'refunded' | 'refused'
  readonly amount: Money
  readonly reason: string
}

interface Base {
  readonly orderId: string
  readonly customerId: string
}

export type Payment =
  | { readonly status: 'none' }
  | (Base & {
      readonly status: 'authorising' | 'authorised' | 'capturing' | 'captured'
      readonly charge: Charge
      readonly refunds: Readonly<Record<string, Refund>>
    })
  | (Base & { readonly status: 'declined'; readonly charge: Charge; readonly reason: string })
  /** `charge` is null when the payment was voided before it was ever requested. */
  | (Base & { readonly status: 'voiding'; readonly charge: Charge | null; readonly wasCapturing: boolean })
  | (Base & { readonly status: 'voided'; readonly charge: Charge | null })

type CommandNamed<Name> = Extract<PaymentCommand, { type: Name }>

const evolve = (payment: Payment, event: PaymentEvent): Payment => {
  const { orderId, customerId } = event.data
  if (event.type === 'AuthorisationRequested') {
    const { amount, paymentToken } = event.data
    return { status: 'authorising', orderId, customerId, charge: { amount, paymentToken }, refunds: {} }
  }
  if (event.type === 'VoidRequested') {
    const charge = payment.status === 'none' ? null : payment.charge
    return { status: 'voiding', orderId, customerId, charge, wasCapturing: payment.status === 'capturing' }
  }
  if (payment.status === 'none') return payment
  if (event.type === 'PaymentVoided') return { status: 'voided', orderId, customerId, charge: payment.charge }
  if (!payment.charge) return payment
  const { charge } = payment
  const refunds = 'refunds' in payment ? payment.refunds : {}
  const charged = { orderId, customerId, charge, refunds }
  switch (event.type) {
    case 'PaymentAuthorised':
      return { status: 'authorised', ...charged }
    case 'PaymentDeclined':
      return { status: 'declined', orderId, customerId, charge, reason: event.data.reason }
    case 'CaptureRequested':
      return { status: 'capturing', ...charged }
    case 'PaymentCaptured':
      return { status: 'captured', ...charged }
    case 'RefundRequested':
    case 'PaymentRefunded':
    case 'RefundRefused': {
      const { refundId, amount } = event.data
      const status = ({ RefundRequested: 'pending', PaymentRefunded: 'refunded', RefundRefused: 'refused' } as const)[
        event.type
      ]
      const reason = event.type === 'PaymentRefunded' ? '' : event.data.reason
      return { ...charged, status: 'captured', refunds: { ...refunds, [refundId]: { status, amount, reason } } }
    }
    default:
      event satisfies never
      return payment
  }
}

/** What is refunded or on its way to be. */
export const refundedOf = (refunds: Readonly<Record<string, Refund>>): number =>
  Object.values(refunds).reduce((sum, refund) => (refund.status === 'refused' ? sum : sum + refund.amount.amount), 0)

const sameMoney = (one: Money, other: Money) => one.amount === other.amount && one.currency === other.currency

const authorise = (command: CommandNamed<'AuthorisePayment'>, payment: Payment): PaymentEvent[] => {
  const { orderId, customerId, amount, paymentToken, at: requestedAt } = command
  if (payment.status === 'none') {
    const gatewayKey = gatewayKeys.authorise(orderId)
    return [
      { type: 'AuthorisationRequested', data: { orderId, customerId, amount, paymentToken, gatewayKey, requestedAt } },
    ]
  }
  if (payment.status === 'voiding' || payment.status === 'voided')
    throw new CommandRejected('payment-settled', { orderId, status: payment.status })
  if (!sameMoney(payment.charge.amount, amount) || payment.charge.paymentToken !== paymentToken)
    throw new CommandRejected('payment-mismatch', { orderId })
  if (payment.status === 'declined')
    throw new CommandRejected('payment-settled', { orderId, status: payment.status, reason: payment.reason })
  return []
}

const capture = ({ orderId, at: requestedAt }: CommandNamed<'CapturePayment'>, payment: Payment): PaymentEvent[] => {
  switch (payment.status) {
    case 'none':
      throw new CommandRejected('payment-not-found', { orderId })
    case 'authorising':
    case 'declined':
      throw new CommandRejected('payment-not-authorised', { orderId, status: payment.status })
    case 'voiding':
    case 'voided':
      throw new CommandRejected('payment-settled', { orderId, status: payment.status })
    case 'authorised': {
      const { customerId, charge } = payment
      const gatewayKey = gatewayKeys.capture(orderId)
      return [
        { type: 'CaptureRequested', data: { orderId, customerId, amount: charge.amount, gatewayKey, requestedAt } },
      ]
    }
    default:
      return []
  }
}

const cancel = (command: CommandNamed<'VoidPayment'>, payment: Payment): PaymentEvent[] => {
  const { orderId, at: requestedAt } = command
  const customerId = payment.status === 'none' ? command.customerId : payment.customerId
  if (customerId === undefined) throw new CommandRejected('payment-not-found', { orderId })
  if (payment.status === 'captured') throw new CommandRejected('payment-already-captured', { orderId })
  if (payment.status === 'declined' || payment.status === 'voiding' || payment.status === 'voided') return []
  return [{ type: 'VoidRequested', data: { orderId, customerId, gatewayKey: gatewayKeys.void(orderId), requestedAt } }]
}

const refund = (command: CommandNamed<'RefundPayment'>, payment: Payment): PaymentEvent[] => {
  const { orderId, refundId, amount, reason, at: requestedAt } = command
  if (payment.status === 'none') throw new CommandRejected('payment-not-found', { orderId })
  if (payment.status !== 'captured')
    throw new CommandRejected('payment-not-captured', { orderId, status: payment.status })
  const { customerId, charge, refunds } = payment
  const known = refunds[refundId]
  if (known && !sameMoney(known.amount, amount)) throw new CommandRejected('payment-mismatch', { orderId, refundId })
  if (known?.status === 'refused')
    throw new CommandRejected('refund-refused', { orderId, refundId, reason: known.reason })
  if (known) return []
  if (amount.currency !== charge.amount.currency)
    throw new CommandRejected('currency-mismatch', { orderId, currency: charge.amount.currency })
  const refundable = charge.amount.amount - refundedOf(refunds)
  if (amount.amount > refundable)
    throw new CommandRejected('refund-exceeds-captured', { orderId, requested: amount.amount, refundable })
  const gatewayKey = gatewayKeys.refund(orderId, refundId)
  return [{ type: 'RefundRequested', data: { orderId, customerId, refundId, amount, reason, gatewayKey, requestedAt } }]
}

/** What is announced because of a command, once everything announced before has been looked up. */
const decide = (command: PaymentCommand, payment: Payment): readonly PaymentEvent[] => {
  switch (command.type) {
    case 'AuthorisePayment':
      return authorise(command, payment)
    case 'CapturePayment':
      return capture(command, payment)
    case 'VoidPayment':
      return cancel(command, payment)
    case 'RefundPayment':
      return refund(command, payment)
    default:
      command satisfies never
      return []
  }
}

/** `payment-<orderId>`: one charge per order. What is announced here is carried out by the payment procedure. */
export const paymentDecider: Decider<PaymentCommand, Payment, PaymentEvent> = {
  name: 'payment',
  initial: { status: 'none' },
  evolve,
  decide,
  opens: (command) => command.type === 'AuthorisePayment',
}
