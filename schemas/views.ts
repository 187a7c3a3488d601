import { type Static, type TSchema, Type } from 'typebox'
import { CancelReason } from './order.ts'
import {
  Address,
  ConsumerName,
  Currency,
  CustomerId,
  Money,
  OrderLine,
  Sku,
  strict,
  Timestamp,
  Uuid,
} from './primitives.ts'
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

const Generation = Type.Integer({ minimum: 1 })
const Version = Type.Integer({ minimum: 1 })

/** A rebuild in a list. `percent` of the events is of those known so far: it may fall when the log grows. */
export const RebuildProgress = strict({
  generation: Generation,
  phase: Type.Union([
    Type.Literal('loading'),
    Type.Literal('indexing'),
    Type.Literal('catching-up'),
    Type.Literal('verifying'),
    Type.Literal('swapping'),
    Type.Literal('done'),
  ]),
  state: Type.Union([
    Type.Literal('running'),
    Type.Literal('cancelled'),
    Type.Literal('failed'),
    Type.Literal('done'),
    Type.Literal('dropped'),
  ]),
  percent: Type.Integer({ minimum: 0, maximum: 100 }),
})
export type RebuildProgress = Static<typeof RebuildProgress>

/**
 * A rebuild of one projection; rate and time left are of the present phase. `rowsVerified`: rows that were compared with the
 * log before the swap, so far; null when none were.
 */
export const RebuildView = strict({
  ...RebuildProgress.properties,
  projection: ConsumerName,
  run: Type.String({ description: 'uuid, shared by those that read the log together', format: 'uuid' }),
  version: Version,
  eventsDone: Digits,
  eventsTotal: Digits,
  position: Digits,
  lagEvents: nullable(Digits),
  eventsPerSecond: nullable(Type.Number()),
  secondsLeft: nullable(Type.Number()),
  rowsVerified: nullable(Digits),
  error: nullable(Type.String({ description: 'What it waits for, or why it has failed.' })),
  operator: Type.String(),
  reason: nullable(Type.String()),
  startedAt: Timestamp,
  updatedAt: Timestamp,
  finishedAt: nullable(Timestamp),
})
export type RebuildView = Static<typeof RebuildView>

/**
 * What a rebuild would do. Null is what is not known before. `measured`: the first events were built to measure the rate, and
 * so many of them could not be applied.
 */
export const RebuildPlanView = strict({
  projection: ConsumerName,
  generation: Generation,
  eventsByType: Type.Record(Type.String(), Digits),
  eventsTotal: Digits,
  rowsExpected: nullable(Digits),
  eventsPerSecond: nullable(Type.Number()),
  secondsExpected: nullable(Type.Number()),
  measured: nullable(strict({ events: Type.Integer({ minimum: 0 }), failed: Type.Integer({ minimum: 0 }) })),
})
export type RebuildPlanView = Static<typeof RebuildPlanView>

/** A generation of a read model: the live one, one that is built, or one that was live and can be swapped back. */
export const GenerationView = strict({
  generation: Generation,
  version: Version,
  state: Type.Union([Type.Literal('live'), Type.Literal('building'), Type.Literal('kept')]),
  createdAt: Timestamp,
  replacedAt: nullable(Timestamp),
  parkedEventCount: Type.Integer({ minimum: 0 }),
})
export type GenerationView = Static<typeof GenerationView>

/** Where a consumer of the log stands. */
export const ProjectionSummary = strict({
  name: ConsumerName,
  version: nullable(Version),
  generation: nullable(Generation),
  parkedEventCount: Type.Integer({ minimum: 0 }),
  gapCount: Type.Integer({
    minimum: 0,
    description: 'Events that it goes without because an operator discarded them.',
  }),
  state: nullable(Type.String({ description: 'Of the projector, when it runs in the process that was asked.' })),
  partitions: Type.Array(
    strict({
      partition: Type.Integer({ minimum: 0 }),
      position: Digits,
      updatedAt: Timestamp,
      lagEvents: nullable(Digits),
    }),
  ),
  error: Type.Optional(Type.String({ description: 'Why it does not go on, or why it is not known where it stands.' })),
  rebuild: nullable(RebuildProgress),
  stale: nullable(Type.String({ description: 'Why it must be rebuilt; null when it need not be, or nobody knows.' })),
})
export type ProjectionSummary = Static<typeof ProjectionSummary>

/** All there is to know of a consumer of the log. `rebuild` is the last one, also when it has ended. */
export const ProjectionView = strict({
  ...ProjectionSummary.properties,
  head: nullable(Digits),
  codeVersion: nullable(Version),
  generations: Type.Array(GenerationView),
  rebuild: nullable(RebuildView),
})
export type ProjectionView = Static<typeof ProjectionView>
