import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderLine } from '../schemas/primitives.ts'
import type { LeaderboardDelta } from './leaderboard-store.ts'

interface Sale {
  readonly customerId: string
  readonly lines: readonly OrderLine[]
  readonly total: { readonly amount: number; readonly currency: string }
}

const deltasOfSale = (sale: Sale, at: string, sign: 1n | -1n): LeaderboardDelta[] => {
  let units = 0n
  const deltas = sale.lines.map(({ sku, quantity, unitPrice }): LeaderboardDelta => {
    const quantityOf = BigInt(quantity) * sign
    units += quantityOf
    return {
      board: 'products',
      key: sku,
      at,
      currency: unitPrice.currency,
      revenue: quantityOf * BigInt(unitPrice.amount),
      units: quantityOf,
    }
  })
  const { amount, currency } = sale.total
  deltas.push({ board: 'customers', key: sale.customerId, at, currency, revenue: BigInt(amount) * sign, units })
  return deltas
}

/**
 * What an event does to the leaderboards. A sale counts when it is confirmed; cancelled later, it is taken out of the
 * hour and day in which it was confirmed. An order that was never confirmed never counted.
 */
export const leaderboardDeltas = (event: RecordedEvent): LeaderboardDelta[] => {
  switch (event.type) {
    case 'OrderConfirmed':
      return deltasOfSale(event.data, event.data.confirmedAt, 1n)
    case 'OrderCancelled':
      return event.data.confirmedAt === null ? [] : deltasOfSale(event.data, event.data.confirmedAt, -1n)
    default:
      return []
  }
}
