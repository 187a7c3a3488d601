import { inventoryStream } from '../schemas/streams.ts'
import { type RowModel, stampsOf } from './verify-model.ts'

/** Stock, counted plainly. */
export const stockLevelsModel: RowModel = {
  types: ['StockReceived', 'StockAdjusted', 'StockReserved', 'ReservationReleased', 'StockCommitted'],
  keyOf: (event) => (event.data as { sku: string }).sku,
  originOf: (key) => ({ stream: inventoryStream(key) }),
  fold: (row, event) => {
    let onHand = Number(row?.fields.on_hand ?? 0)
    let reserved = Number(row?.fields.reserved ?? 0)
    let at = ''
    if (event.type === 'StockReceived') {
      onHand += event.data.quantity
      at = event.data.receivedAt
    }
    if (event.type === 'StockAdjusted') {
      onHand += event.data.delta
      at = event.data.adjustedAt
    }
    if (event.type === 'StockReserved') {
      reserved += event.data.quantity
      at = event.data.reservedAt
    }
    if (event.type === 'ReservationReleased') {
      reserved -= event.data.quantity
      at = event.data.releasedAt
    }
    if (event.type === 'StockCommitted') {
      reserved -= event.data.quantity
      onHand -= event.data.quantity
      at = event.data.committedAt
    }
    const { sku } = event.data as { sku: string }
    const available = onHand - reserved
    return { fields: { sku, on_hand: onHand, reserved, available, updated_at: at, ...stampsOf(event) } }
  },
}
