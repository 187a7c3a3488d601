import type { RecordedEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { InventoryEvent } from '../schemas/inventory.ts'
import { inventoryStream } from '../schemas/streams.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { createStreamHistory, type StreamFold } from './stream-history.ts'

/** Units. */
interface FoldedStock {
  readonly onHand: number
  readonly reserved: number
  readonly updatedAt: string
}

const unhandled = (_type: never): undefined => undefined

/** The stock of a SKU after one more event. */
export const foldStock = (stock: FoldedStock | undefined, event: RecordedEvent): FoldedStock | undefined => {
  const { type, data } = event as RecordedEvent<InventoryEvent>
  const { onHand, reserved } = stock ?? { onHand: 0, reserved: 0 }
  switch (type) {
    case 'StockReceived':
      return { onHand: onHand + data.quantity, reserved, updatedAt: data.receivedAt }
    case 'StockAdjusted':
      return { onHand: onHand + data.delta, reserved, updatedAt: data.adjustedAt }
    case 'StockReserved':
      return { onHand, reserved: reserved + data.quantity, updatedAt: data.reservedAt }
    case 'ReservationReleased':
      return { onHand, reserved: reserved - data.quantity, updatedAt: data.releasedAt }
    case 'StockCommitted':
      return { onHand: onHand - data.quantity, reserved: reserved - data.quantity, updatedAt: data.committedAt }
    default:
      return unhandled(type) ?? stock
  }
}

const stockFold: StreamFold<FoldedStock> = { of: 'stock', shape: 1, evolve: foldStock }

/**
 * Stock as it was, folded from the log.
 *
 * @returns a question: SKU, `asOf` (see the schema `AsOf`), milliseconds that it may take
 */
export const createStockHistory = (
  deps: Pick<ReadApiDependencies, 'store' | 'database' | 'clock' | 'metrics'>,
  eventsPerState?: number,
) => {
  const history = createStreamHistory(deps, stockFold, eventsPerState)
  /** @throws CommandRejected `in-the-future`; `stock-not-found` also when there was none by then */
  return async (sku: string, asOf: string, waitMs?: number) => {
    const { state, revision, exists } = await history.asOf(inventoryStream(sku), asOf, waitMs)
    if (!state) throw new CommandRejected('stock-not-found', exists ? { asOf } : {})
    return {
      sku,
      revision: String(revision),
      onHandUnits: state.onHand,
      reservedUnits: state.reserved,
      availableUnits: state.onHand - state.reserved,
      updatedAt: state.updatedAt,
    }
  }
}
