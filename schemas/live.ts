import { type Static, Type } from 'typebox'
import { CustomerId, strict, Uuid } from './primitives.ts'
import { LeaderboardQuery } from './queries.ts'
import { Digits, EventView, Leaderboard, OrderSummary, OrderView } from './views.ts'

/**
 * The messages of `/v1/live`, in both directions; docs/live-feed.md explains their order. Every message is one JSON
 * object in one text frame.
 */

/** The client's own name for a subscription, unique on its connection. */
const id = Type.String({ minLength: 1, maxLength: 64, format: 'text' })

/**
 * Where a subscription stands. For an order: the revision of the last event seen, `-1` before the first. For a
 * customer and for all orders: a position in the log. Events after it are sent.
 */
export const LiveCursor = Type.String({ pattern: '^(-1|0|[1-9][0-9]{0,17})$' })

const position = Type.String({ pattern: '^(0|[1-9][0-9]{0,17})$' })
const subscribe = { type: Type.Literal('subscribe'), id }
const { by, window, currency, limit } = LeaderboardQuery.properties

/** What a client subscribes with, by channel. */
export const subscribeMessages = {
  order: strict({ ...subscribe, channel: Type.Literal('order'), orderId: Uuid, after: Type.Optional(LiveCursor) }),
  customer: strict({
    ...subscribe,
    channel: Type.Literal('customer'),
    customerId: CustomerId,
    after: Type.Optional(position),
  }),
  orders: strict({ ...subscribe, channel: Type.Literal('orders'), after: Type.Optional(position) }),
  leaderboard: strict({
    ...subscribe,
    channel: Type.Literal('leaderboard'),
    board: Type.Union([Type.Literal('products'), Type.Literal('customers')]),
    by,
    window,
    currency,
    limit,
  }),
}
export type LiveChannel = keyof typeof subscribeMessages
export type SubscribeMessage = { [Channel in LiveChannel]: Static<(typeof subscribeMessages)[Channel]> }[LiveChannel]

export const UnsubscribeMessage = strict({ type: Type.Literal('unsubscribe'), id })
export type UnsubscribeMessage = Static<typeof UnsubscribeMessage>

export type ClientMessage = SubscribeMessage | UnsubscribeMessage

const about = { id }
/** Cursors by subscription id: where to go on. */
const cursors = Type.Record(Type.String(), LiveCursor)

/** What the server sends, by type. */
export const serverMessages = {
  /** The state before the events that follow. Not sent to a client that resumes with `after`. */
  snapshot: Type.Union([
    strict({
      type: Type.Literal('snapshot'),
      ...about,
      channel: Type.Literal('order'),
      cursor: LiveCursor,
      order: Type.Union([OrderView, Type.Null()]),
    }),
    strict({
      type: Type.Literal('snapshot'),
      ...about,
      channel: Type.Union([Type.Literal('customer'), Type.Literal('orders')]),
      cursor: LiveCursor,
      orders: Type.Array(OrderSummary, { description: 'Newest first, 50 at most.' }),
    }),
    strict({
      type: Type.Literal('snapshot'),
      ...about,
      channel: Type.Literal('leaderboard'),
      leaderboard: Leaderboard,
    }),
  ]),
  event: strict({
    type: Type.Literal('event'),
    ...about,
    cursor: LiveCursor,
    revision: Digits,
    position: Digits,
    event: EventView,
  }),
  /** The board has changed: the whole of it, four times a second at most. */
  leaderboard: strict({ type: Type.Literal('leaderboard'), ...about, leaderboard: Leaderboard }),
  /** Everything that was in the log when the client subscribed has been sent; what follows is as it happens. */
  'caught-up': strict({ type: Type.Literal('caught-up'), ...about, cursor: LiveCursor }),
  unsubscribed: strict({ type: Type.Literal('unsubscribed'), ...about }),
  /** The connection is alive and the server has followed the log to here. */
  heartbeat: strict({ type: Type.Literal('heartbeat'), position: Digits }),
  /** A code of the table of errors. With `cursors`, the connection is about to be closed and can be resumed there. */
  error: strict({
    type: Type.Literal('error'),
    id: Type.Optional(id),
    code: Type.String(),
    title: Type.String(),
    detail: Type.Optional(Type.String()),
    cursors: Type.Optional(cursors),
  }),
}
export type ServerMessage = {
  [Name in keyof typeof serverMessages]: Static<(typeof serverMessages)[Name]>
}[keyof typeof serverMessages]

/** Close codes of the connection. */
export const closeCodes = { goingAway: 1001, tooBig: 1009, slowConsumer: 4008 } as const
