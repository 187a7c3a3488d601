import { decodeEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { orderStream } from '../schemas/streams.ts'
import type { OrderView } from '../schemas/views.ts'
import type { PersonalDataOpener, ReadApiDependencies } from './dependencies.ts'
import { type FoldedOrder, foldOrder } from './order-fold.ts'
import { createStreamHistory, type StreamFold } from './stream-history.ts'

const opened = async ({ view, personal }: FoldedOrder, vault: PersonalDataOpener): Promise<OrderView> => {
  const [person] = await vault.open([personal])
  return person
    ? {
        ...view,
        customer: { ...view.customer, name: person.name, email: person.email },
        shippingAddress: person.address,
      }
    : view
}

/** The order that these events of its stream make; undefined when it was not placed by then. One query to the vault. */
export const orderFrom = async (
  events: readonly StoredEvent[],
  vault: PersonalDataOpener,
): Promise<OrderView | undefined> => {
  let order: FoldedOrder | undefined
  for (const event of events) order = foldOrder(order, decodeEvent(event))
  return order && opened(order, vault)
}

const orderFold: StreamFold<FoldedOrder> = { of: 'order', shape: 1, evolve: foldOrder }

/**
 * Orders as they were, folded from the log. Of the person it shows what the customer's key still opens today.
 *
 * @returns a question: order id, `asOf` (see the schema `AsOf`), milliseconds that it may take
 */
export const createOrderHistory = (
  deps: Pick<ReadApiDependencies, 'store' | 'database' | 'vault' | 'clock' | 'metrics'>,
) => {
  const history = createStreamHistory(deps, orderFold)
  /** @throws CommandRejected `in-the-future`; `order-not-found` also when it had not been placed by then */
  return async (orderId: string, asOf: string, waitMs?: number): Promise<OrderView> => {
    const { state, exists } = await history.asOf(orderStream(orderId), asOf, waitMs)
    if (!state) throw new CommandRejected('order-not-found', exists ? { asOf } : {})
    return opened(state, deps.vault)
  }
}
