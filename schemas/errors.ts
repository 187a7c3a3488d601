/**
 * Every error that a client can meet: its stable code, HTTP status and one sentence. docs/errors.md lists the same
 * table; a test ties the two together. The details of one occurrence travel beside it in `detail` and named members.
 */
export const errors = {
  // The request itself.
  'malformed-json': { status: 400, title: 'The body is not valid JSON.' },
  'invalid-request': { status: 400, title: 'The request does not match its schema.' },
  'invalid-cursor': { status: 400, title: 'The cursor was not issued by this server for this query.' },
  'invalid-consistency-token': { status: 400, title: 'The consistency token was not issued by this log.' },
  'invalid-idempotency-key': { status: 400, title: 'The idempotency key must be 1 to 255 printable ASCII characters.' },
  'invalid-precondition': { status: 400, title: 'If-Match must be a single entity tag that this server issued.' },
  'body-too-large': { status: 413, title: 'The body is larger than 256 KiB.' },
  'unsupported-media-type': { status: 415, title: 'The body must be application/json.' },
  'method-not-allowed': { status: 405, title: 'The resource does not support this method.' },
  'origin-not-allowed': {
    status: 403,
    title: 'Pages of other sites may not change anything here nor follow the live feed.',
  },
  'route-not-found': { status: 404, title: 'There is no such resource.' },
  // Idempotency and concurrency.
  'idempotency-key-reused': { status: 422, title: 'The idempotency key was used before with another request.' },
  'request-in-progress': { status: 409, title: 'A request with this idempotency key is still running.' },
  'precondition-failed': { status: 412, title: 'The resource has changed since the given entity tag.' },
  'concurrent-update': { status: 409, title: 'The aggregate kept changing while the command was decided; try again.' },
  // Orders.
  'order-not-found': { status: 404, title: 'There is no such order.' },
  'order-already-placed': { status: 409, title: 'Another order was placed under this id.' },
  'unknown-product': { status: 422, title: 'A line names a product that the catalogue does not have.' },
  'duplicate-line': { status: 422, title: 'Two lines name the same product; state its whole quantity in one.' },
  'mixed-currencies': { status: 422, title: 'All lines of an order must be priced in one currency.' },
  'price-changed': { status: 409, title: 'The total differs from the one that the customer expects.' },
  'order-not-confirmable': { status: 409, title: 'The order cannot be confirmed in its present state.' },
  'order-not-cancellable': { status: 409, title: 'The order cannot be cancelled any more.' },
  'order-not-shippable': { status: 409, title: 'Only a confirmed order can be shipped.' },
  'order-not-deliverable': { status: 409, title: 'Only a shipped order can be delivered.' },
  // Stock and catalogue.
  'product-not-found': { status: 404, title: 'There is no such product.' },
  'product-already-registered': { status: 409, title: 'Another product was registered under this SKU.' },
  'stock-not-found': { status: 404, title: 'No stock was ever recorded for this SKU.' },
  'out-of-stock': { status: 409, title: 'There is not enough stock available.' },
  'reservation-settled': { status: 409, title: 'The reservation of this order was released or committed before.' },
  'reservation-not-found': { status: 409, title: 'The order has no reservation of this SKU.' },
  'stock-below-reserved': { status: 409, title: 'The adjustment would leave less stock than is reserved.' },
  'stock-limit-exceeded': { status: 422, title: 'Stock of one SKU cannot exceed 1,000,000,000,000 units.' },
  // Payments.
  'payment-not-found': { status: 404, title: 'There is no payment for this order.' },
  'payment-mismatch': { status: 409, title: 'The order is being charged with other particulars.' },
  'payment-not-authorised': { status: 409, title: 'The payment is not authorised.' },
  'payment-not-captured': { status: 409, title: 'Nothing was captured that could be refunded.' },
  'payment-already-captured': { status: 409, title: 'The payment was captured; refund it instead.' },
  'payment-settled': { status: 409, title: 'The payment has ended.' },
  'payment-capture-refused': { status: 409, title: 'The payment provider refused the capture.' },
  'refund-exceeds-captured': { status: 422, title: 'Refunds cannot exceed what was captured.' },
  'refund-refused': { status: 409, title: 'The payment provider refused the refund.' },
  'currency-mismatch': { status: 422, title: 'The amount is not in the currency of the payment.' },
  'payment-outcome-unknown': {
    status: 503,
    title:
      'The payment provider did not answer; the outcome will be looked up. Repeat the request with its Idempotency-Key to learn it.',
  },
  // Reads.
  'customer-not-found': { status: 404, title: 'Nothing is known of this customer.' },
  'saga-not-found': { status: 404, title: 'There is no fulfilment of this order.' },
  'saga-not-parked': { status: 409, title: 'The fulfilment is not parked.' },
  'parked-event-not-found': { status: 404, title: 'There is no such parked event.' },
  'event-not-editable': { status: 409, title: 'This version does not know the event, and so not what it may say.' },
  'invalid-replacement': { status: 422, title: 'The replacement is not a valid form of the event.' },
  'unknown-event': { status: 409, title: 'The stream holds an event that this version of the code does not know.' },
  'newer-event': {
    status: 503,
    title: 'The stream holds an event in a newer version than this server knows; it must be updated, or another asked.',
  },
  'not-yet-visible': { status: 503, title: 'The read model has not caught up with the consistency token in time.' },
  'read-model-absent': { status: 503, title: 'The read model has not been built yet.' },
  'in-the-future': { status: 400, title: 'The revision, position or time asked for has not happened yet.' },
  'board-without-revisions': {
    status: 400,
    title: 'A leaderboard is of many streams and has no revision; ask for a position or a time.',
  },
  'history-in-preparation': {
    status: 503,
    title: 'So much history was never asked for before and takes longer to fold; what was done is kept. Try again.',
  },
  // Rebuilding read models.
  'projection-not-found': { status: 404, title: 'There is no such projection.' },
  'nothing-to-rebuild': { status: 422, title: 'This consumer of the log keeps no read model that could be rebuilt.' },
  'rebuild-running': {
    status: 409,
    title: 'A rebuild of the projection is under way, or has stopped and waits to be resumed or dropped.',
  },
  'rebuild-not-found': { status: 404, title: 'There is no rebuild of this projection.' },
  'generation-not-found': { status: 404, title: 'The projection has no such generation.' },
  'generation-live': {
    status: 409,
    title: 'The generation is live or being built; only one that is neither can be dropped.',
  },
  'other-version': {
    status: 409,
    title: 'The read model is of another version of the code: ask a server of that version, or rebuild it.',
  },
  // Verifying read models.
  'verify-position-not-reached': { status: 422, title: 'The read model has not reached the position asked for.' },
  'verify-position-passed': { status: 422, title: 'The sums have gone past the position asked for.' },
  'verify-interrupted': {
    status: 409,
    title: 'The read model was replaced or moved while it was verified; try again.',
  },
  'verify-event-unreadable': {
    status: 409,
    title: 'The read model has gone past an event that the verification cannot read.',
  },
  'verify-generation-loading': {
    status: 409,
    title: 'The generation is still being loaded from the log; it can be verified once it catches up.',
  },
  'verify-repair-refused': { status: 409, title: 'The read model cannot be repaired now, or not like this.' },
  // Live feed.
  'upgrade-required': { status: 426, title: 'The live feed is spoken over WebSocket.' },
  'unknown-message': { status: 400, title: 'The message is not one that this server understands.' },
  'unknown-channel': { status: 400, title: 'There is no such channel.' },
  'not-subscribed': { status: 400, title: 'There is no subscription with this id.' },
  'already-subscribed': { status: 409, title: 'A subscription with this id exists on this connection.' },
  'too-many-subscriptions': { status: 429, title: 'The connection has as many subscriptions as it may have.' },
  'slow-consumer': { status: 408, title: 'The client reads too slowly; come back with the cursor.' },
  // The server.
  'engine-unavailable': {
    status: 503,
    title: 'A storage engine is away. Try again; with an Idempotency-Key it is done once.',
  },
  'shutting-down': { status: 503, title: 'The server is shutting down; nothing was done. Try again.' },
  overloaded: { status: 503, title: 'The server has more work than it can take on; nothing was done. Try again.' },
  'internal-error': { status: 500, title: 'The server failed; the log has the correlation id.' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errors

/** A refusal that the caller can act upon: a code of the table and the particulars. */
export class CommandRejected extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  constructor(code: ErrorCode, details: Readonly<Record<string, unknown>> = {}) {
    super(errors[code].title)
    this.name = 'CommandRejected'
    this.code = code
    this.details = details
  }
}

/** RFC 9457 problem details. `type` is a stable relative reference to the row of the documented table. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail?: string
  readonly [member: string]: unknown
}

/** The problem document of a code. A `status` among the details is the aggregate's, and is shown as `currentStatus`. */
export const problemOf = (
  code: ErrorCode,
  { status: currentStatus, ...members }: { readonly detail?: string; readonly [member: string]: unknown } = {},
): Problem => ({
  type: `/docs/errors#${code}`,
  title: errors[code].title,
  status: errors[code].status,
  code,
  ...(currentStatus === undefined ? {} : { currentStatus }),
  ...members,
})
