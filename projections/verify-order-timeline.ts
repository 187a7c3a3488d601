import type { DomainEventType } from '../schemas/events.ts'
import { storedNames } from '../schemas/stored-names.ts'
import type { RowModel } from './verify-model.ts'

/** What no timeline shows, whatever event it is in. */
const withheld = ['personal', 'paymentToken', 'gatewayKey', 'gatewayReference']
/** Aggregates that have no order: whatever other event names one belongs to its timeline. */
const elsewhere = ['product', 'customer']

/** Every event that names an order makes one row. */
export const orderTimelineModel: RowModel = {
  types: (Object.keys(storedNames) as DomainEventType[]).filter(
    (type) =>
      !elsewhere.includes(storedNames[type].split('.')[0] ?? '') &&
      type !== 'StockReceived' &&
      type !== 'StockAdjusted',
  ),
  once: true,
  keyOf: (event) => {
    const { orderId } = event.data as { orderId?: string }
    return orderId === undefined ? undefined : `${orderId} ${event.position}`
  },
  originOf: (key) => ({ position: BigInt(key.split(' ')[1] ?? 0) }),
  fold: (_, event) => ({
    fields: {
      order_id: (event.data as { orderId: string }).orderId,
      position: event.position,
      stream: event.stream,
      revision: event.revision,
      type: event.type,
      recorded_at: event.recordedAt,
      actor: event.metadata.actor,
      event_id: event.id,
      command_id: event.metadata.commandId,
      causation_id: event.metadata.causationId,
      correlation_id: event.metadata.correlationId,
      data: Object.fromEntries(Object.entries(event.data).filter(([name]) => !withheld.includes(name))),
    },
  }),
}
