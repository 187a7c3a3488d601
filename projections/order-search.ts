import type { OrderDocument, OrderPerson, OrderSearch, Versioned } from '../platform/search-index.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderEvent } from '../schemas/order.ts'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { foldDocuments } from './document-fold.ts'
import { erasuresIn } from './personal-data-eraser.ts'
import type { Projection } from './projection.ts'
import { storeGenerations, storeSink } from './store-sink.ts'

/** What the projection needs of the vault of personal data. */
export interface PersonalDataOpener {
  /** In the order given; null where the key was destroyed. */
  open(sealed: readonly Sealed[]): Promise<readonly (PersonalData | null)[]>
}

/** @throws Error when the stream does not begin with OrderPlaced */
const evolve = (
  document: OrderDocument | undefined,
  event: OrderEvent,
  personOf: (sealed: Sealed) => OrderPerson | null,
): OrderDocument => {
  if (event.type === 'OrderPlaced') {
    const { orderId, customerId, lines, total, personal, placedAt } = event.data
    return {
      orderId,
      customerId,
      status: 'placed',
      placedAt,
      total,
      lines: lines.map(({ sku, name, quantity }) => ({ sku, name, quantity })),
      carrier: null,
      trackingId: null,
      person: personOf(personal),
    }
  }
  if (!document) throw new Error(`order ${event.data.orderId} has a ${event.type} but was never placed`)
  switch (event.type) {
    case 'OrderConfirmed':
      return { ...document, status: 'confirmed' }
    case 'OrderShipped':
      return { ...document, status: 'shipped', carrier: event.data.carrier, trackingId: event.data.trackingId }
    case 'OrderDelivered':
      return { ...document, status: 'delivered' }
    case 'OrderCancelled':
      return { ...document, status: 'cancelled' }
  }
}

const types = ['OrderPlaced', 'OrderConfirmed', 'OrderShipped', 'OrderDelivered', 'OrderCancelled'] as const
const isOrderEvent = (event: RecordedEvent): event is RecordedEvent<OrderEvent> =>
  types.some((type) => type === event.type)

const openPersons = async (
  vault: PersonalDataOpener,
  events: readonly RecordedEvent<OrderEvent>[],
): Promise<(sealed: Sealed) => OrderPerson | null> => {
  const sealed = events.flatMap((event) => (event.type === 'OrderPlaced' ? [event.data.personal] : []))
  const opened = sealed.length === 0 ? [] : await vault.open(sealed)
  const persons = new Map<Sealed, OrderPerson>()
  sealed.forEach((one, at) => {
    const data = opened[at]
    if (data) persons.set(one, { keyId: one.keyId, name: data.name, email: data.email })
  })
  return (one) => persons.get(one) ?? null
}

/**
 * Orders in the search index, with the names of their customers for as long as these may be known. A document is
 * written from its order's stream; forgetting a customer takes the person out of it without touching its version.
 */
export const orderSearch = (deps: { readonly index: OrderSearch; readonly vault: PersonalDataOpener }): Projection => {
  const name = 'order_search'
  const { vault } = deps
  const effectOn = (index: OrderSearch) => async (events: readonly RecordedEvent[]) => {
    const ofOrders = events.filter(isOrderEvent)
    const personOf = await openPersons(vault, ofOrders)
    const upserts: Versioned<OrderDocument>[] = await foldDocuments(
      index,
      ofOrders,
      (event) => event.data.orderId,
      (document: OrderDocument | undefined, event) => evolve(document, event, personOf),
    )
    return { upserts, erasures: await erasuresIn(events) }
  }
  const sinkOf = (index: OrderSearch) => storeSink(name, index, effectOn(index))
  return {
    name,
    version: 1,
    begins: namesOf('OrderPlaced'),
    types: namesOf(...types, 'PersonalDataForgotten'),
    sink: sinkOf(deps.index),
    generations: storeGenerations(deps.index.generations, sinkOf),
  }
}
