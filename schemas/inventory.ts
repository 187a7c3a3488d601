import { Type } from 'typebox'
import {
  type CommandOf,
  type EventOf,
  Quantity,
  Sku,
  StockQuantity,
  strict,
  Timestamp,
  text,
  Uuid,
} from './primitives.ts'

const delta = Type.Integer({ minimum: -1_000_000_000, maximum: 1_000_000_000 })

/** Events of `inventory-<sku>`. */
export const inventoryEvents = {
  StockReceived: strict({ sku: Sku, quantity: StockQuantity, receivedAt: Timestamp }),
  StockAdjusted: strict({ sku: Sku, delta, reason: text(1, 200), adjustedAt: Timestamp }),
  StockReserved: strict({ sku: Sku, orderId: Uuid, quantity: Quantity, reservedAt: Timestamp }),
  /** Quantity 0: released before it was ever reserved, so that a late reservation of this order is refused. */
  ReservationReleased: strict({
    sku: Sku,
    orderId: Uuid,
    quantity: Type.Integer({ minimum: 0, maximum: 10_000 }),
    releasedAt: Timestamp,
  }),
  StockCommitted: strict({ sku: Sku, orderId: Uuid, quantity: Quantity, committedAt: Timestamp }),
}
export type InventoryEvent = EventOf<typeof inventoryEvents>

export const inventoryCommands = {
  ReceiveStock: strict({ sku: Sku, quantity: StockQuantity }),
  AdjustStock: strict({ sku: Sku, delta, reason: text(1, 200) }),
  ReserveStock: strict({ sku: Sku, orderId: Uuid, quantity: Quantity }),
  ReleaseStock: strict({ sku: Sku, orderId: Uuid }),
  CommitStock: strict({ sku: Sku, orderId: Uuid }),
}
export type InventoryCommand = CommandOf<typeof inventoryCommands>
