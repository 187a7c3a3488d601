import type { Addition, SumModel } from './verify-model.ts'

/** Days after which the board of an hour may be gone. One less than it is kept: the clock goes on meanwhile. */
const hourKeptDays = 39

/** `products revenue EUR day 2026-11-21T00:00:00Z`: which board; what follows the bar is the member. */
export const scoreRow = (
  place: { board: string; measure: string; currency: string; window: string; bucket: string },
  key: string,
): string => `${place.board} ${place.measure} ${place.currency || '-'} ${place.window} ${place.bucket}|${key}`

const hourOf = (row: string): string | undefined => / hour (\S+)\|/.exec(row)?.[1]

/** The scores of every board, added up plainly. A score of zero and no score are the same. */
export const leaderboardsModel = (now: () => Date): SumModel => ({
  types: ['OrderConfirmed', 'OrderCancelled'],
  groupOf: (row) => row.slice(0, row.indexOf('|')),
  expired: (row) => {
    const hour = hourOf(row)
    return hour !== undefined && Date.parse(hour) < now().getTime() - hourKeptDays * 86_400_000
  },
  additionsOf: (event) => {
    if (event.type !== 'OrderConfirmed' && event.type !== 'OrderCancelled') return []
    const { confirmedAt, customerId, lines, total } = event.data
    if (confirmedAt === null) return []
    const sign = event.type === 'OrderConfirmed' ? 1n : -1n
    const windows = [
      { window: 'hour', bucket: `${confirmedAt.slice(0, 13)}:00:00Z` },
      { window: 'day', bucket: `${confirmedAt.slice(0, 10)}T00:00:00Z` },
      { window: 'all', bucket: '1970-01-01T00:00:00Z' },
    ]
    const additions: Addition[] = []
    const score = (board: string, measure: string, currency: string, key: string, amount: bigint) => {
      for (const window of windows)
        additions.push({
          row: scoreRow({ board, measure, currency, ...window }, key),
          field: 'score',
          amount: sign * amount,
        })
    }
    let units = 0n
    for (const line of lines) {
      const { currency, amount } = line.unitPrice
      const quantity = BigInt(line.quantity)
      units += quantity
      score('products', 'units', '', line.sku, quantity)
      score('products', 'revenue', currency, line.sku, quantity * BigInt(amount))
      score('products', 'currencies', '', currency, quantity)
    }
    score('customers', 'units', '', customerId, units)
    score('customers', 'revenue', total.currency, customerId, BigInt(total.amount))
    score('customers', 'currencies', '', total.currency, units)
    return additions
  },
})
