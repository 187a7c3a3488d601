import { Map as PersistentMap } from 'immutable'
import { CommandRejected } from '../schemas/errors.ts'
import type { InventoryCommand, InventoryEvent } from '../schemas/inventory.ts'
import type { Decider } from './decider.ts'

/** How long at least a finished reservation is remembered, so that a late duplicate of its command is recognised. */
export const settledMemoryMs = 15 * 60_000
const maxOnHand = 1_000_000_000_000

type Settlement = 'released' | 'committed'
type Settlements = PersistentMap<string, Settlement>

/** Invariant: 0 <= reserved <= onHand, and reserved is the sum of the open reservations. */
export interface Inventory {
  readonly onHand: number
  readonly reserved: number
  /** Units by order. Persistent maps, because a hot SKU has many thousand and each event changes one. */
  readonly open: PersistentMap<string, number>
  /** Two generations: when the younger is old enough, the older is forgotten whole, and no event pays for the others. */
  readonly settled: {
    /** When the younger began. */
    readonly since: string
    readonly younger: Settlements
    readonly older: Settlements
    /** Everything that was finished from here on is remembered. */
    readonly wholeSince: string
  }
}

const none: Settlements = PersistentMap()
const ever = '1970-01-01T00:00:00.000Z'
const initial: Inventory = {
  onHand: 0,
  reserved: 0,
  open: PersistentMap(),
  settled: { since: ever, younger: none, older: none, wholeSince: ever },
}

/** Units that can still be sold. */
export const availableOf = (inventory: Inventory): number => inventory.onHand - inventory.reserved

const remember = (settled: Inventory['settled'], orderId: string, settlement: Settlement, at: string) =>
  Date.parse(at) - Date.parse(settled.since) < settledMemoryMs
    ? { ...settled, younger: settled.younger.set(orderId, settlement) }
    : {
        since: at,
        younger: PersistentMap([[orderId, settlement]]),
        older: settled.younger,
        wholeSince: settled.older.size > 0 ? settled.since : settled.wholeSince,
      }

const settlementOf = ({ settled }: Inventory, orderId: string): Settlement | undefined =>
  settled.younger.get(orderId) ?? settled.older.get(orderId)

const evolve = (inventory: Inventory, event: InventoryEvent): Inventory => {
  switch (event.type) {
    case 'StockReceived':
      return { ...inventory, onHand: inventory.onHand + event.data.quantity }
    case 'StockAdjusted':
      return { ...inventory, onHand: inventory.onHand + event.data.delta }
    case 'StockReserved': {
      const { orderId, quantity } = event.data
      return { ...inventory, reserved: inventory.reserved + quantity, open: inventory.open.set(orderId, quantity) }
    }
    case 'ReservationReleased': {
      const { orderId, quantity, releasedAt } = event.data
      return {
        ...inventory,
        reserved: inventory.reserved - quantity,
        open: inventory.open.delete(orderId),
        settled: remember(inventory.settled, orderId, 'released', releasedAt),
      }
    }
    case 'StockCommitted': {
      const { orderId, quantity, committedAt } = event.data
      return {
        onHand: inventory.onHand - quantity,
        reserved: inventory.reserved - quantity,
        open: inventory.open.delete(orderId),
        settled: remember(inventory.settled, orderId, 'committed', committedAt),
      }
    }
    default:
      event satisfies never
      return inventory
  }
}

const decide = (command: InventoryCommand, inventory: Inventory): readonly InventoryEvent[] => {
  const { sku, at } = command
  switch (command.type) {
    case 'ReceiveStock': {
      const { quantity } = command
      if (inventory.onHand + quantity > maxOnHand)
        throw new CommandRejected('stock-limit-exceeded', { sku, onHand: inventory.onHand, limit: maxOnHand })
      return [{ type: 'StockReceived', data: { sku, quantity, receivedAt: at } }]
    }
    case 'AdjustStock': {
      const { delta, reason } = command
      const onHand = inventory.onHand + delta
      if (onHand < inventory.reserved)
        throw new CommandRejected('stock-below-reserved', {
          sku,
          onHand: inventory.onHand,
          reserved: inventory.reserved,
        })
      if (onHand > maxOnHand)
        throw new CommandRejected('stock-limit-exceeded', { sku, onHand: inventory.onHand, limit: maxOnHand })
      return delta === 0 ? [] : [{ type: 'StockAdjusted', data: { sku, delta, reason, adjustedAt: at } }]
    }
    case 'ReserveStock': {
      const { orderId, quantity } = command
      if (inventory.open.has(orderId)) return []
      const settlement = settlementOf(inventory, orderId)
      if (settlement) throw new CommandRejected('reservation-settled', { sku, orderId, settlement })
      // A duplicate that was under way for so long would reserve for an order that nobody looks after any more.
      if (at < inventory.settled.wholeSince)
        throw new CommandRejected('reservation-settled', { sku, orderId, settlement: 'forgotten' })
      const available = availableOf(inventory)
      if (quantity > available) throw new CommandRejected('out-of-stock', { sku, requested: quantity, available })
      return [{ type: 'StockReserved', data: { sku, orderId, quantity, reservedAt: at } }]
    }
    case 'ReleaseStock': {
      const { orderId } = command
      const settlement = settlementOf(inventory, orderId)
      if (settlement === 'released') return []
      if (settlement) throw new CommandRejected('reservation-settled', { sku, orderId, settlement })
      const quantity = inventory.open.get(orderId, 0)
      return [{ type: 'ReservationReleased', data: { sku, orderId, quantity, releasedAt: at } }]
    }
    case 'CommitStock': {
      const { orderId } = command
      const settlement = settlementOf(inventory, orderId)
      if (settlement === 'committed') return []
      if (settlement) throw new CommandRejected('reservation-settled', { sku, orderId, settlement })
      const quantity = inventory.open.get(orderId)
      if (quantity === undefined) throw new CommandRejected('reservation-not-found', { sku, orderId })
      return [{ type: 'StockCommitted', data: { sku, orderId, quantity, committedAt: at } }]
    }
    default:
      command satisfies never
      return []
  }
}

interface Packed extends Pick<Inventory, 'onHand' | 'reserved'> {
  readonly open: readonly [string, number][]
  readonly since: string
  readonly younger: readonly [string, Settlement][]
  readonly older: readonly [string, Settlement][]
  readonly wholeSince: string
}

/** `inventory-<sku>`: what is on hand, who has reserved it, and what became of recent reservations. */
export const inventoryDecider: Decider<InventoryCommand, Inventory, InventoryEvent> = {
  name: 'inventory',
  initial,
  evolve,
  decide,
  forgetful: ['reservation-not-found'],
  snapshot: {
    shape: 2,
    weight: ({ open, settled }) => open.size + settled.younger.size + settled.older.size,
    pack: ({ onHand, reserved, open, settled }): Packed => ({
      onHand,
      reserved,
      open: [...open],
      since: settled.since,
      younger: [...settled.younger],
      older: [...settled.older],
      wholeSince: settled.wholeSince,
    }),
    unpack: (packed) => {
      const { onHand, reserved, open, since, younger, older, wholeSince } = packed as Packed
      const settled = { since, younger: PersistentMap(younger), older: PersistentMap(older), wholeSince }
      return { onHand, reserved, open: PersistentMap(open), settled }
    },
  },
}
