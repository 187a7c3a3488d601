import { type Static, Type } from 'typebox'
import type { Database, Statement } from '../platform/database.ts'
import { Timestamp, Uuid } from '../schemas/primitives.ts'
import type { ListOrdersQuery, OrderStatus } from '../schemas/queries.ts'
import type { OrderSummary } from '../schemas/views.ts'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'

export interface OrderRow {
  readonly order_id: string
  readonly customer_id: string
  readonly status: OrderStatus
  readonly currency: string
  readonly total_amount: bigint
  readonly line_count: number
  readonly units: number
  readonly placed_at: string
  readonly updated_at: string
  readonly revision: bigint
}

export const orderColumns = `order_id, customer_id, status, currency, total_amount, units, placed_at, revision,
  json_array_length(lines) as line_count,
  greatest(placed_at, confirmed_at, shipped_at, delivered_at, cancelled_at) as updated_at`

export const toOrderSummary = (row: OrderRow): OrderSummary => ({
  orderId: row.order_id,
  revision: String(row.revision),
  status: row.status,
  customerId: row.customer_id,
  lineCount: row.line_count,
  units: row.units,
  total: { amount: Number(row.total_amount), currency: row.currency },
  placedAt: row.placed_at,
  updatedAt: row.updated_at,
})

const TimeKey = Type.Tuple([Timestamp, Uuid], { additionalItems: false, minItems: 2 })
const TotalKey = Type.Tuple([Type.Integer({ minimum: 0 }), Uuid], { additionalItems: false, minItems: 2 })

const sorts = {
  '-placedAt': { column: 'placed_at', type: 'timestamptz', direction: 'desc', beyond: '<' },
  placedAt: { column: 'placed_at', type: 'timestamptz', direction: 'asc', beyond: '>' },
  '-total': { column: 'total_amount', type: 'bigint', direction: 'desc', beyond: '<' },
  total: { column: 'total_amount', type: 'bigint', direction: 'asc', beyond: '>' },
} as const

const filters: Readonly<Partial<Record<keyof ListOrdersQuery, (place: string) => string>>> = {
  status: (place) => `status = ${place}`,
  customerId: (place) => `customer_id = ${place}`,
  sku: (place) => `skus @> array[${place}::text]`,
  placedFrom: (place) => `placed_at >= ${place}::timestamptz`,
  placedTo: (place) => `placed_at < ${place}::timestamptz`,
  totalFrom: (place) => `total_amount >= ${place}::bigint`,
  totalTo: (place) => `total_amount <= ${place}::bigint`,
}

/** One statement per combination of filters and sort that is really used, so that each is prepared and planned once. */
const statementOf = (query: ListOrdersQuery, key: readonly unknown[] | undefined) => {
  const sort = query.sort ?? '-placedAt'
  const { column, type, direction, beyond } = sorts[sort]
  const names = Object.keys(filters) as (keyof ListOrdersQuery)[]
  const used = names.filter((name) => query[name] !== undefined)
  const values: unknown[] = [(query.limit ?? 50) + 1, ...used.map((name) => query[name]), ...(key ?? [])]
  const conditions = used.map((name, index) => filters[name]?.(`$${index + 2}`))
  if (key) conditions.push(`(${column}, order_id) ${beyond} ($${used.length + 2}::${type}, $${used.length + 3}::uuid)`)
  const statement: Statement = {
    // By number: PostgreSQL cuts names at 63 bytes, and two that are alike up to there would be one.
    name: `orders:${sort}:${used.map((name) => names.indexOf(name)).join('')}:${key ? 'next' : 'first'}`,
    text: `select ${orderColumns} from order_details.orders
      ${conditions.length > 0 ? `where ${conditions.join(' and ')}` : ''}
      order by ${column} ${direction}, order_id ${direction} limit $1`,
  }
  return { statement, values }
}

/**
 * One page of orders. Keyset paging on columns that never change: rows that come in meanwhile neither repeat nor hide
 * others.
 *
 * @throws CommandRejected `invalid-cursor`
 */
export const listOrders = async (
  database: Database,
  query: ListOrdersQuery,
): Promise<{ items: OrderSummary[]; nextCursor: string | null }> => {
  const byTotal = query.sort === 'total' || query.sort === '-total'
  const key: Static<typeof TimeKey> | Static<typeof TotalKey> | undefined = byTotal
    ? decodeCursor('orders', query, TotalKey)
    : decodeCursor('orders', query, TimeKey)
  const { statement, values } = statementOf(query, key)
  const rows = await database.execute<OrderRow>(statement, values)
  return pageOf(rows, query.limit ?? 50, toOrderSummary, (row) =>
    encodeCursor('orders', query, [byTotal ? Number(row.total_amount) : row.placed_at, row.order_id]),
  )
}
