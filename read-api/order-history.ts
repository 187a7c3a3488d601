import { decodeEvent } from '../schemas/codec.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { orderStream } from '../schemas/streams.ts'
import type { OrderView } from '../schemas/views.ts'
import type { PersonalDataOpener, ReadApiDependencies } from './dependencies.ts'
import { type FoldedOrder, foldOrder } from './order-fold.ts'

/** The order that these events of its stream make; undefined when it was not placed by then. One query to the vault. */
export const orderFrom = async (
  events: readonly StoredEvent[],
  vault: PersonalDataOpener,
): Promise<OrderView | undefined> => {
  let order: FoldedOrder | undefined
  for (const event of events) order = foldOrder(order, decodeEvent(event))
  if (!order) return undefined
  const [person] = await vault.open([order.personal])
  const { view } = order
  return person
    ? {
        ...view,
        customer: { ...view.customer, name: person.name, email: person.email },
        shippingAddress: person.address,
      }
    : view
}

/**
 * The order as it was at a revision of its stream or at a time, folded from the log.
 *
 * @param asOf a revision (decimal digits) or a time (ISO 8601 UTC)
 * @throws CommandRejected `in-the-future`; `order-not-found` also when it had not been placed by then
 */
export const orderAsOf = async (
  deps: Pick<ReadApiDependencies, 'store' | 'vault' | 'clock'>,
  orderId: string,
  asOf: string,
): Promise<OrderView> => {
  const byRevision = /^\d+$/.test(asOf)
  if (!byRevision && Date.parse(asOf) > deps.clock.now().getTime()) throw new CommandRejected('in-the-future', { asOf })
  const { revision, events } = await deps.store.readStream(orderStream(orderId))
  if (byRevision && revision !== 'none' && BigInt(asOf) > revision)
    throw new CommandRejected('in-the-future', { asOf, revision: String(revision) })
  const until = events.filter((event) => (byRevision ? event.revision <= BigInt(asOf) : event.recordedAt <= asOf))
  const order = await orderFrom(until, deps.vault)
  if (!order) throw new CommandRejected('order-not-found', revision === 'none' ? {} : { asOf })
  return order
}
