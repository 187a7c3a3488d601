import type { Transaction } from '../platform/database.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { OrderEvent } from '../schemas/order.ts'
import type { PaymentEvent } from '../schemas/payment.ts'
import type { OrderLine } from '../schemas/primitives.ts'
import { loadDdl, type PostgresProjection } from './postgres-sink.ts'

type SalesEvent =
  | Extract<OrderEvent, { type: 'OrderConfirmed' | 'OrderCancelled' }>
  | Extract<PaymentEvent, { type: 'PaymentRefunded' }>

const sums = [
  'orders',
  'units',
  'revenue',
  'cancelled_orders',
  'cancelled_units',
  'cancelled_revenue',
  'refunds',
  'refunded',
] as const

/** What events add to one day, UTC, in one currency. Money in minor units; a bigint, as a day may outgrow 2^53. */
export type SalesDelta = { readonly day: string; readonly currency: string } & Record<(typeof sums)[number], bigint>

const unitsOf = (lines: readonly OrderLine[]): bigint => BigInt(lines.reduce((units, line) => units + line.quantity, 0))

const nothing = Object.fromEntries(sums.map((sum) => [sum, 0n])) as Record<(typeof sums)[number], bigint>

const deltaOf = (event: SalesEvent): SalesDelta | undefined => {
  switch (event.type) {
    case 'OrderConfirmed': {
      const { confirmedAt, total, lines } = event.data
      const day = { ...nothing, day: confirmedAt.slice(0, 10), currency: total.currency }
      return { ...day, orders: 1n, units: unitsOf(lines), revenue: BigInt(total.amount) }
    }
    case 'OrderCancelled': {
      const { confirmedAt, total, lines } = event.data
      if (confirmedAt === null) return undefined
      const day = { ...nothing, day: confirmedAt.slice(0, 10), currency: total.currency }
      return { ...day, cancelled_orders: 1n, cancelled_units: unitsOf(lines), cancelled_revenue: BigInt(total.amount) }
    }
    case 'PaymentRefunded': {
      const { refundedAt, amount } = event.data
      const day = { ...nothing, day: refundedAt.slice(0, 10), currency: amount.currency }
      return { ...day, refunds: 1n, refunded: BigInt(amount.amount) }
    }
  }
}

/** One delta per day and currency, in an order that depends on these alone, so that concurrent writers lock alike. */
export const deltasOf = (events: readonly SalesEvent[]): SalesDelta[] => {
  const days = new Map<string, SalesDelta>()
  for (const event of events) {
    const delta = deltaOf(event)
    if (!delta) continue
    const key = `${delta.day} ${delta.currency}`
    const before = days.get(key) ?? delta
    if (before === delta) days.set(key, delta)
    else {
      const added = Object.fromEntries(sums.map((sum) => [sum, before[sum] + delta[sum]])) as typeof nothing
      days.set(key, { ...before, ...added })
    }
  }
  return [...days].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, delta]) => delta)
}

/** Sales per day: confirmed orders, those of them that were cancelled, and refunds. */
export const sales: PostgresProjection<SalesEvent['type']> = {
  name: 'sales',
  version: 1,
  handles: ['OrderConfirmed', 'OrderCancelled', 'PaymentRefunded'],
  ddl: loadDdl(new URL('sales.sql', import.meta.url)),
  apply: async (transaction: Transaction, schema: string, events: readonly RecordedEvent<SalesEvent>[]) => {
    const deltas = deltasOf(events)
    if (deltas.length === 0) return
    await transaction.execute(
      {
        name: `${schema}_add`,
        text: `insert into ${schema}.days as d (day, currency, ${sums.join(', ')})
          select * from unnest($1::date[], $2::text[], ${sums.map((_, index) => `$${index + 3}::bigint[]`).join(', ')})
          on conflict (day, currency) do update set ${sums.map((sum) => `${sum} = d.${sum} + excluded.${sum}`).join(', ')}`,
      },
      [
        deltas.map((delta) => delta.day),
        deltas.map((delta) => delta.currency),
        ...sums.map((sum) => deltas.map((delta) => delta[sum])),
      ],
    )
  },
}
