import type { RecordedEvent } from '../schemas/envelope.ts'
import type { InventoryEvent } from '../schemas/inventory.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'
import { type RowTable, rowEffect } from './row-fold.ts'

/** Units. The table adds what is available: on hand less reserved. */
export interface StockRow {
  readonly sku: string
  readonly on_hand: number
  readonly reserved: number
  readonly updated_at: string
}

const table: RowTable = {
  table: 'stock',
  key: 'sku',
  columns: { sku: 'text', on_hand: 'bigint', reserved: 'bigint', updated_at: 'timestamptz' },
}

type Recorded = RecordedEvent<InventoryEvent>

/** What an event makes of a row. */
export const evolve = (row: StockRow | undefined, { type, data }: InventoryEvent): StockRow => {
  const { on_hand, reserved } = row ?? { on_hand: 0, reserved: 0 }
  const { sku } = data
  switch (type) {
    case 'StockReceived':
      return { sku, on_hand: on_hand + data.quantity, reserved, updated_at: data.receivedAt }
    case 'StockAdjusted':
      return { sku, on_hand: on_hand + data.delta, reserved, updated_at: data.adjustedAt }
    case 'StockReserved':
      return { sku, on_hand, reserved: reserved + data.quantity, updated_at: data.reservedAt }
    case 'ReservationReleased':
      return { sku, on_hand, reserved: reserved - data.quantity, updated_at: data.releasedAt }
    case 'StockCommitted':
      return {
        sku,
        on_hand: on_hand - data.quantity,
        reserved: reserved - data.quantity,
        updated_at: data.committedAt,
      }
  }
}

/** How much of every product is there, reserved and available. */
export const stockLevels: PostgresProjection<InventoryEvent['type']> = {
  name: 'stock_levels',
  version: 1,
  partitionedByStream: true,
  handles: ['StockReceived', 'StockAdjusted', 'StockReserved', 'ReservationReleased', 'StockCommitted'],
  ddl: loadDdl(new URL('stock-levels.sql', import.meta.url)),
  apply: rowEffect<StockRow, Recorded, Recorded, undefined>({
    table,
    keyOf: (event) => event.data.sku,
    keyOfRow: (row) => row.sku,
    prepare: async () => undefined,
    evolve,
  }),
}
