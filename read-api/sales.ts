import type { Statement } from '../platform/database.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { SalesQuery } from '../schemas/queries.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly day: string
  readonly currency: string
  readonly orders: bigint
  readonly units: bigint
  readonly revenue: bigint
  readonly cancelled_orders: bigint
  readonly cancelled_units: bigint
  readonly cancelled_revenue: bigint
  readonly refunds: bigint
  readonly refunded: bigint
}

/** Days that one answer spans at most, both ends included. */
const maxDays = 366
const dayMs = 86_400_000

const statement: Statement = {
  name: 'sales_by_day',
  text: `select day::text, currency, orders, units, revenue, cancelled_orders, cancelled_units, cancelled_revenue,
      refunds, refunded
    from sales.days
    where day between $1::date and $2::date and ($3::text is null or currency = $3)
    order by day, currency`,
}

const toDay = (row: Row) => {
  const money = (amount: bigint) => ({ amount: Number(amount), currency: row.currency })
  return {
    day: row.day,
    orderCount: Number(row.orders),
    units: Number(row.units),
    revenue: money(row.revenue),
    cancelledOrderCount: Number(row.cancelled_orders),
    cancelledUnits: Number(row.cancelled_units),
    cancelledRevenue: money(row.cancelled_revenue),
    refundCount: Number(row.refunds),
    refunded: money(row.refunded),
  }
}

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10)

/** `GET /v1/sales?by=day`: UTC days, the last 30 unless `from` and `to` (inclusive) say otherwise. */
export const registerSales = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/sales', {
    query: SalesQuery,
    projections: ['sales'],
    answer: async ({ query }) => {
      const to =
        query.to ?? (query.from ? dayOf(Date.parse(query.from) + 29 * dayMs) : dayOf(deps.clock.now().getTime()))
      const from = query.from ?? dayOf(Date.parse(to) - 29 * dayMs)
      const days = (Date.parse(to) - Date.parse(from)) / dayMs + 1
      if (days < 1) throw new CommandRejected('invalid-request', { detail: 'query/from must not be after query/to' })
      if (days > maxDays)
        throw new CommandRejected('invalid-request', { detail: `from and to span ${days} days; ${maxDays} at most` })
      const rows = await deps.database.execute<Row>(statement, [from, to, query.currency ?? null])
      return { by: 'day', from, to, days: rows.map(toDay) }
    },
  })
}
