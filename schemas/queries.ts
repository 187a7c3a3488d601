import { type Static, Type } from 'typebox'
import { AsOf, ConsumerName, Currency, CustomerId, Sku, strict, Timestamp, text, Uuid } from './primitives.ts'

const limit = Type.Integer({ minimum: 1, maximum: 200, default: 50 })
const cursor = Type.String({ minLength: 1, maxLength: 1_024, pattern: '^[A-Za-z0-9_-]+$' })
const page = { limit: Type.Optional(limit), cursor: Type.Optional(cursor) }
/** Wait for this much at most until the read model has the consistency token, milliseconds. */
const waitMs = Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 }))
const words = text(1, 200)
const amount = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

export const OrderStatus = Type.Union([
  Type.Literal('placed'),
  Type.Literal('confirmed'),
  Type.Literal('shipped'),
  Type.Literal('delivered'),
  Type.Literal('cancelled'),
])
export type OrderStatus = Static<typeof OrderStatus>

export const OrderIdParams = strict({ orderId: Uuid })
export const SkuParams = strict({ sku: Sku })
export const ConsumerParams = strict({ name: ConsumerName })
export const GenerationParams = strict({
  name: ConsumerName,
  generation: Type.String({ pattern: '^[1-9][0-9]{0,8}$' }),
})
export const CustomerParams = strict({ customerId: CustomerId })

/** `GET /v1/orders`: newest first unless `sort` says otherwise. */
export const ListOrdersQuery = strict({
  ...page,
  waitMs,
  status: Type.Optional(OrderStatus),
  customerId: Type.Optional(CustomerId),
  sku: Type.Optional(Sku),
  placedFrom: Type.Optional(Timestamp),
  placedTo: Type.Optional(Timestamp),
  totalFrom: Type.Optional(amount),
  totalTo: Type.Optional(amount),
  sort: Type.Optional(
    Type.Union([Type.Literal('-placedAt'), Type.Literal('placedAt'), Type.Literal('-total'), Type.Literal('total')]),
  ),
})
export type ListOrdersQuery = Static<typeof ListOrdersQuery>

/** Then the answer is folded from the log, and `waitMs` is how long it may take to fold what was never asked for before. */
const asOf = Type.Optional(AsOf)

export const OrderQuery = strict({ waitMs, asOf })
export const StockQuery = strict({ waitMs, asOf })
export const PageQuery = strict({ ...page, waitMs })
export const WaitQuery = strict({ waitMs })

export const ListProductsQuery = strict({
  ...page,
  waitMs,
  category: Type.Optional(text(1, 100)),
  brand: Type.Optional(text(1, 100)),
  currency: Type.Optional(Currency),
  priceFrom: Type.Optional(amount),
  priceTo: Type.Optional(amount),
})
export type ListProductsQuery = Static<typeof ListProductsQuery>

export const SalesQuery = strict({
  waitMs,
  by: Type.Optional(Type.Literal('day')),
  from: Type.Optional(Type.String({ format: 'date' })),
  to: Type.Optional(Type.String({ format: 'date' })),
  currency: Type.Optional(Currency),
})

/**
 * `GET /v1/leaderboards/products|customers`. `at` picks the hour or day (default: the present one, or that of `asOf`),
 * UTC.
 */
export const LeaderboardQuery = strict({
  waitMs,
  asOf,
  by: Type.Optional(Type.Union([Type.Literal('revenue'), Type.Literal('units')])),
  window: Type.Optional(Type.Union([Type.Literal('hour'), Type.Literal('day'), Type.Literal('all')])),
  at: Type.Optional(Timestamp),
  currency: Type.Optional(Currency),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 10 })),
})
export type LeaderboardQuery = Static<typeof LeaderboardQuery>

export const SearchQuery = strict({
  waitMs,
  q: words,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20 })),
})
export type SearchQuery = Static<typeof SearchQuery>

export const ListSagasQuery = strict({
  ...page,
  status: Type.Optional(
    Type.Union([
      Type.Literal('running'),
      Type.Literal('waiting'),
      Type.Literal('parked'),
      Type.Literal('completed'),
      Type.Literal('cancelled'),
    ]),
  ),
  stuck: Type.Optional(Type.Boolean()),
})

/** A projection, or a generation of it that is being built: `order_details@2`. */
const projection = Type.String({ pattern: '^[a-z][a-z0-9_]{0,62}(@[1-9][0-9]{0,8})?$' })
/** `GET /v1/parked-events`: those that are parked, unless `status` asks for what operators decided. */
export const ListParkedEventsQuery = strict({
  ...page,
  projection: Type.Optional(projection),
  status: Type.Optional(
    Type.Union([
      Type.Literal('parked'),
      Type.Literal('failed'),
      Type.Literal('behind'),
      Type.Literal('edited'),
      Type.Literal('discarded'),
    ]),
  ),
})
export type ListParkedEventsQuery = Static<typeof ListParkedEventsQuery>
export const ParkedStreamParams = strict({ projection, stream: text(1, 200) })
export const ParkedEventParams = strict({
  ...ParkedStreamParams.properties,
  revision: Type.String({ pattern: '^(0|[1-9][0-9]{0,17})$' }),
})
