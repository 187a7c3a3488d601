import type { Queryable } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { SearchIndex, Versioned } from '../platform/search-index.ts'
import { type AuditFold, createAuditFold } from './audit-fold.ts'

/** What the payment provider itself has on its books for one order. */
export interface LedgerEntry {
  readonly orderId: string
  /** Authorisations that stand: granted and neither voided nor captured. */
  readonly openAuthorisations: number
  /** Charges: authorisations granted under different keys. */
  readonly charges: number
}

export interface AuditReport {
  readonly clean: boolean
  /** Products whose stock was at any moment reserved beyond what was on hand. */
  readonly oversold: number
  /** Orders charged more than once, by the log or by the provider's books. */
  readonly doubleCharges: number
  /** Acknowledged orders that are not in the log or have not ended, and units held for orders that have. */
  readonly lost: number
  /** Cancelled orders with money still held. */
  readonly openAuthorisations: number
  /** Rows of read models that differ from the fold of the log. */
  readonly readModelsDiffer: number
}

export interface Audit {
  readonly report: AuditReport
  /** Events folded. */
  readonly events: number
  readonly fold: AuditFold
  /** The first differences in words, at most 20. */
  readonly differences: readonly string[]
}

const pageSize = 5_000
const text = (...fields: readonly unknown[]): string => fields.map((field) => String(field)).join(' | ')

const foldLog = async (store: EventStore): Promise<AuditFold> => {
  const fold = createAuditFold()
  const head = await store.head()
  for (let after = 0n; after < head; ) {
    const page = await store.readAll({ after, limit: pageSize })
    for (const event of page.events) fold.apply(event)
    after = page.position
  }
  return fold
}

/** Each read model as key -> one line of text: once from the fold, once from its table. */
const comparisons = (fold: AuditFold): { name: string; sql: string; expected: Map<string, string> }[] => {
  const map = <V>(source: Map<string, V>, line: (value: V, key: string) => string) =>
    new Map([...source].map(([key, value]) => [key, line(value, key)]))
  const reserved = (reservations: Map<string, number>) =>
    [...reservations.values()].reduce((sum, units) => sum + units, 0)
  return [
    {
      name: 'order_details',
      sql: `select order_id::text as key, concat_ws(' | ', customer_id, status, coalesce(cancel_reason, 'null'), total_amount,
              currency, units, revision) as line from order_details.orders`,
      expected: map(fold.orders, (order) =>
        text(
          order.customerId,
          order.status,
          order.cancelReason,
          order.total,
          order.currency,
          order.units,
          order.revision,
        ),
      ),
    },
    {
      name: 'stock_levels',
      sql: `select sku as key, concat_ws(' | ', on_hand, reserved, revision) as line from stock_levels.stock`,
      expected: map(fold.stock, (item) => text(item.onHand, reserved(item.reservations), item.revision)),
    },
    {
      name: 'payments',
      sql: `select order_id::text as key, concat_ws(' | ', authorised_amount, captured_amount, refunded_amount,
              currency, revision) as line from payments.payments`,
      expected: map(fold.payments, (payment) =>
        text(payment.authorised, payment.captured, payment.refunded, payment.currency, payment.revision),
      ),
    },
    {
      name: 'sales',
      sql: `select day::text || ' ' || currency as key, concat_ws(' | ', orders, units, revenue, cancelled_orders,
              cancelled_units, cancelled_revenue, refunds, refunded) as line from sales.days`,
      expected: map(fold.sales, (day) =>
        text(
          ...[day.orders, day.units, day.revenue],
          ...[day.cancelledOrders, day.cancelledUnits, day.cancelledRevenue, day.refunds, day.refunded],
        ),
      ),
    },
    {
      name: 'catalogue',
      sql: `select sku as key, concat_ws(' | ', name, price_amount, currency, revision) as line from catalogue.products`,
      expected: map(fold.prices, (product) => text(product.name, product.amount, product.currency, product.revision)),
    },
    {
      name: 'order_timeline',
      sql: `select order_id::text as key, count(*)::text as line from order_timeline.entries group by order_id`,
      expected: map(fold.timeline, (entries) => String(entries)),
    },
  ]
}

/**
 * An all-time board as its store shows it: minor units by `<key> <currency>` and units by `<key>`. The audit asks through
 * the port and not in any engine's words.
 */
export type BoardReader = (board: 'products' | 'customers') => Promise<ReadonlyMap<string, bigint>>

/** The documents of these ids as the search index has them, through the port as well. */
export interface DocumentReader {
  readonly orders: Pick<SearchIndex['orders'], 'load'>
  readonly products: Pick<SearchIndex['products'], 'load'>
}

/** Documents that are asked for at once. */
const documentsPerRequest = 500

const loadLines = async <Document>(
  ids: Iterable<string>,
  collection: { load(ids: readonly string[]): Promise<ReadonlyMap<string, Versioned<Document>>> },
  line: (document: Document) => string,
): Promise<Map<string, string>> => {
  const all = [...ids]
  const lines = new Map<string, string>()
  for (let from = 0; from < all.length; from += documentsPerRequest)
    for (const [id, { document }] of await collection.load(all.slice(from, from + documentsPerRequest)))
      lines.set(id, line(document))
  return lines
}

/**
 * Folds the whole log independently of the projections and compares: stock, charges, orders and every row of the read
 * models. The projections must have caught up with the log before.
 *
 * @param acknowledged ids of orders that some client was told were placed
 * @param ledger the payment provider's own books; empty when it keeps none that can be read
 */
export const auditLog = async (deps: {
  readonly store: EventStore
  readonly database: Queryable
  readonly acknowledged: readonly string[]
  readonly ledger: readonly LedgerEntry[]
  readonly board: BoardReader
  readonly documents: DocumentReader
}): Promise<Audit> => {
  const fold = await foldLog(deps.store)
  const differences: string[] = []
  const note = (sentence: string) => {
    if (differences.length < 20) differences.push(sentence)
  }

  const oversold = [...fold.stock].filter(([, item]) => item.oversold)
  for (const [sku] of oversold) note(`${sku} was oversold`)

  const doublyCharged = new Set<string>()
  for (const [orderId, payment] of fold.payments)
    if (payment.authorisations > 1 || payment.captures > 1) doublyCharged.add(orderId)
  for (const entry of deps.ledger) if (entry.charges > 1) doublyCharged.add(entry.orderId)
  for (const orderId of doublyCharged) note(`order ${orderId} was charged more than once`)

  const held = new Map(deps.ledger.map((entry) => [entry.orderId, entry.openAuthorisations]))
  let openAuthorisations = 0
  for (const [orderId, order] of fold.orders) {
    if (order.status !== 'cancelled') continue
    const payment = fold.payments.get(orderId)
    const openInLog =
      payment !== undefined && payment.authorised > 0 && payment.captured === 0 && payment.ended === null
    if (openInLog || (held.get(orderId) ?? 0) > 0) {
      openAuthorisations += 1
      note(`order ${orderId} is cancelled and its payment is still authorised`)
    }
  }

  const ended = (orderId: string) => ['completed', 'cancelled', 'parked'].includes(fold.fulfilments.get(orderId) ?? '')
  const lost = new Set<string>()
  for (const orderId of new Set(deps.acknowledged))
    if (!fold.orders.has(orderId)) {
      lost.add(orderId)
      note(`order ${orderId} was acknowledged and is not in the log`)
    } else if (!ended(orderId)) {
      lost.add(orderId)
      note(`order ${orderId} has not reached an end (${fold.orders.get(orderId)?.status})`)
    }
  for (const [sku, item] of fold.stock)
    for (const orderId of item.reservations.keys())
      if (['completed', 'cancelled'].includes(fold.fulfilments.get(orderId) ?? '')) {
        lost.add(`${orderId} ${sku}`)
        note(`${sku} is still reserved for order ${orderId}, which has ended`)
      }

  let readModelsDiffer = 0
  const compare = (name: string, expected: Map<string, string>, found: Map<string, string>) => {
    for (const key of new Set([...expected.keys(), ...found.keys()])) {
      if (expected.get(key) === found.get(key)) continue
      readModelsDiffer += 1
      note(`${name} ${key}: expected ${expected.get(key) ?? 'nothing'}, found ${found.get(key) ?? 'nothing'}`)
    }
  }
  for (const { name, sql, expected } of comparisons(fold)) {
    const rows = await deps.database.query<{ key: string; line: string }>(sql)
    compare(name, expected, new Map(rows.map((row) => [row.key, row.line])))
  }
  for (const board of ['products', 'customers'] as const) {
    const scores = new Map<string, number>()
    const add = (key: string, score: number) => scores.set(key, (scores.get(key) ?? 0) + score)
    for (const [key, entry] of fold.boards) {
      if (!key.startsWith(`${board} `)) continue
      const keyAndCurrency = key.slice(board.length + 1)
      add(keyAndCurrency, entry.revenue)
      add(keyAndCurrency.slice(0, keyAndCurrency.lastIndexOf(' ')), entry.units)
    }
    // A board shows nobody whose score is not above zero.
    const expected = new Map([...scores].flatMap(([key, score]) => (score > 0 ? [[key, String(score)] as const] : [])))
    const found = new Map([...(await deps.board(board))].map(([key, score]) => [key, String(score)] as const))
    compare(`leaderboard of ${board}`, expected, found)
  }

  compare(
    'search of orders',
    new Map([...fold.orders].map(([id, order]) => [id, text(order.customerId, order.status, order.total)])),
    await loadLines(fold.orders.keys(), deps.documents.orders, ({ customerId, status, total }) =>
      text(customerId, status, total.amount),
    ),
  )
  compare(
    'search of products',
    new Map([...fold.prices].map(([sku, product]) => [sku, text(product.name, product.amount)])),
    await loadLines(fold.prices.keys(), deps.documents.products, ({ name, price }) => text(name, price.amount)),
  )

  const clean = oversold.length + doublyCharged.size + lost.size + openAuthorisations + readModelsDiffer === 0
  return {
    report: {
      clean,
      oversold: oversold.length,
      doubleCharges: doublyCharged.size,
      lost: lost.size,
      openAuthorisations,
      readModelsDiffer,
    },
    events: fold.events(),
    fold,
    differences,
  }
}
