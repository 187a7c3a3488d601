import { v5 } from 'uuid'
import type { Command } from '../schemas/commands.ts'
import type { FulfilmentStep } from '../schemas/fulfilment.ts'
import type { Fulfilment } from './fulfilment.ts'

/** Made once, for this purpose; another value would give every command of a running saga another id. */
const namespace = '5a1e7c5e-2f3b-5d4c-9a68-0d6d1f0f7e11'

/** The id of a step's command: the same for every attempt and every worker, so that a repeat is recognised. */
export const commandIdOf = (orderId: string, step: FulfilmentStep): string => v5(`${orderId}/${step}`, namespace)

/** The refund that takes back a captured payment when its order is cancelled. */
export const refundIdOf = (orderId: string): string => commandIdOf(orderId, 'refund')

const skuOf = (step: FulfilmentStep): string => step.slice(step.indexOf(':') + 1)

/** What a step asks, and of whom. @param at ISO 8601 */
export const commandOf = (state: Fulfilment, step: FulfilmentStep, at: string): Command => {
  const { orderId, customerId, total: amount } = state
  switch (step) {
    case 'authorise':
      return { type: 'AuthorisePayment', at, orderId, customerId, amount, paymentToken: state.paymentToken }
    case 'confirm':
      return { type: 'ConfirmOrder', at, orderId }
    case 'capture':
      return { type: 'CapturePayment', at, orderId }
    case 'void':
      return { type: 'VoidPayment', at, orderId, customerId }
    case 'refund':
      return { type: 'RefundPayment', at, orderId, refundId: refundIdOf(orderId), amount, reason: 'order cancelled' }
    case 'cancel':
      return { type: 'CancelOrder', at, orderId, reason: state.cancelReason ?? 'operator_request' }
    default: {
      const sku = skuOf(step)
      if (step.startsWith('release:')) return { type: 'ReleaseStock', at, orderId, sku }
      if (step.startsWith('commit:')) return { type: 'CommitStock', at, orderId, sku }
      const quantity = state.lines.find((line) => line.sku === sku)?.quantity
      if (quantity === undefined) throw new Error(`order ${orderId} has no line ${sku}`)
      return { type: 'ReserveStock', at, orderId, sku, quantity }
    }
  }
}
