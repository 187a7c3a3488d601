import { type Static, type TSchema, Type } from 'typebox'
import { CancelReason } from './order.ts'
import { Address, Currency, CustomerId, Money, OrderLine, Sku, strict, Timestamp, Uuid } from './primitives.ts'
import { OrderStatus } from './queries.ts'

const nullable = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

/** A revision, position or count that may outgrow a double: decimal digits. */
export const Digits = Type.String({ pattern: '^(0|[1-9][0-9]{0,18})$' })

/** Why and by whom: what every event carries. */
const Causes = strict({
  commandId: Uuid,
  correlationId: Uuid,
  causationId: Uuid,
  actor: Type.String(),
})

/** An order at one revision. What was personal and has been forgotten is null. */
export const OrderView = strict({
  orderId: Uuid,
  revision: Digits,
  status: OrderStatus,
  customer: strict({ id: CustomerId, name: nullable(Type.String()), email: nullable(Type.String()) }),
  shippingAddress: nullable(Address),
  lines: Type.Array(OrderLine),
  total: Money,
  placedAt: Timestamp,
  confirmedAt: nullable(Timestamp),
  shippedAt: nullable(Timestamp),
  carrier: nullable(Type.String()),
  trackingId: nullable(Type.String()),
  deliveredAt: nullable(Timestamp),
  cancelledAt: nullable(Timestamp),
  cancelReason: nullable(CancelReason),
})
export type OrderView = Static<typeof OrderView>

/** An order in a list. */
export const OrderSummary = strict({
  orderId: Uuid,
  revision: Digits,
  status: OrderStatus,
  customerId: CustomerId,
  lineCount: Type.Integer({ minimum: 1 }),
  units: Type.Integer({ minimum: 1 }),
  total: Money,
  placedAt: Timestamp,
  updatedAt: Timestamp,
})
export type OrderSummary = Static<typeof OrderSummary>

/** An event as clients see it: without the payment token and without personal data, sealed or not. */
export const EventView = strict({
  id: Uuid,
  type: Type.String({ description: 'The name in the code, `OrderPlaced`; the stored name when `readable` is false.' }),
  readable: Type.Boolean({ description: 'False when the log holds a version that this server does not know yet.' }),
  stream: Type.String(),
  recordedAt: Timestamp,
  data: Type.Unknown(),
  causes: Causes,
})
export type EventView = Static<typeof EventView>

/** One place on a leaderboard: either `revenue` or `units` is set, by what the board counts. */
export const LeaderboardPlace = strict({
  rank: Type.Integer({ minimum: 1 }),
  key: Type.Union([Sku, CustomerId]),
  name: nullable(Type.String({ description: 'Of the product; null for customers.' })),
  revenue: nullable(Money),
  units: nullable(Type.Integer()),
})
export type LeaderboardPlace = Static<typeof LeaderboardPlace>

/** A leaderboard at one moment. */
export const Leaderboard = strict({
  board: Type.Union([Type.Literal('products'), Type.Literal('customers')]),
  by: Type.Union([Type.Literal('revenue'), Type.Literal('units')]),
  window: Type.Union([Type.Literal('hour'), Type.Literal('day'), Type.Literal('all')]),
  windowStart: nullable(Type.String({ description: 'Start of the hour or day, UTC; null for all time.' })),
  currency: nullable(Currency),
  places: Type.Array(LeaderboardPlace),
})
export type Leaderboard = Static<typeof Leaderboard>
