import type { CatalogEvent } from './catalog.ts'
import type { CustomerEvent } from './customer.ts'
import type { FulfilmentEvent } from './fulfilment.ts'
import type { InventoryEvent } from './inventory.ts'
import type { OrderEvent } from './order.ts'
import type { PaymentEvent } from './payment.ts'

/** Everything that can be in the log, in today's language. */
export type DomainEvent = OrderEvent | PaymentEvent | InventoryEvent | CatalogEvent | CustomerEvent | FulfilmentEvent
export type DomainEventType = DomainEvent['type']
