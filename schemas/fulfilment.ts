import { type Static, Type } from 'typebox'
import { CancelReason, PaymentToken } from './order.ts'
import { CustomerId, type EventOf, Money, Quantity, Sku, strict, Timestamp, text, Uuid } from './primitives.ts'

/** One thing the saga asks of another aggregate; with the order id it names the command for ever. */
export const FulfilmentStep = Type.Union([
  Type.TemplateLiteral('reserve:${string}'),
  Type.TemplateLiteral('release:${string}'),
  Type.TemplateLiteral('commit:${string}'),
  Type.Literal('authorise'),
  Type.Literal('confirm'),
  Type.Literal('capture'),
  Type.Literal('void'),
  Type.Literal('refund'),
  Type.Literal('cancel'),
])
export type FulfilmentStep = Static<typeof FulfilmentStep>

const order = { orderId: Uuid }
const at = { at: Timestamp }
const line = { ...order, sku: Sku, ...at }
const step = { ...order, step: FulfilmentStep, error: text(0, 1_000) }

/** Events of `fulfilment-<orderId>`: what the saga saw, what came of its commands, and how it ended. */
export const fulfilmentEvents = {
  FulfilmentStarted: strict({
    ...order,
    customerId: CustomerId,
    sagaVersion: Type.Integer({ minimum: 1 }),
    lines: Type.Array(strict({ sku: Sku, quantity: Quantity }), { minItems: 1, maxItems: 100 }),
    total: Money,
    paymentToken: PaymentToken,
    reservationDeadline: Timestamp,
    authorisationDeadline: Timestamp,
    ...at,
  }),
  LineReserved: strict(line),
  LineRefused: strict({ ...line, reason: text(1, 200) }),
  FulfilmentAuthorised: strict({ ...order, ...at }),
  FulfilmentDeclined: strict({ ...order, reason: text(1, 200), ...at }),
  FulfilmentConfirmed: strict({ ...order, ...at }),
  DeadlinePassed: strict({
    ...order,
    deadline: Type.Union([Type.Literal('reservation'), Type.Literal('authorisation')]),
    ...at,
  }),
  CancellationSeen: strict({ ...order, reason: CancelReason, ...at }),
  ShipmentSeen: strict({ ...order, ...at }),
  FulfilmentCaptured: strict({ ...order, ...at }),
  LineCommitted: strict(line),
  LineReleased: strict(line),
  FulfilmentVoided: strict({ ...order, ...at }),
  FulfilmentRefunded: strict({ ...order, ...at }),
  FulfilmentCancelled: strict({ ...order, reason: CancelReason, ...at }),
  StepFailed: strict({
    ...step,
    attempt: Type.Integer({ minimum: 1 }),
    retryAt: Timestamp,
    /** The payment provider was away and did nothing: such an attempt does not count towards parking. */
    unavailable: Type.Optional(Type.Literal(true)),
    ...at,
  }),
  FulfilmentParked: strict({ ...step, attempts: Type.Integer({ minimum: 1 }), ...at }),
  FulfilmentRetried: strict({ ...order, step: FulfilmentStep, operator: text(1, 200), reason: text(1, 500), ...at }),
  StepSkipped: strict({ ...order, step: FulfilmentStep, operator: text(1, 200), reason: text(1, 500), ...at }),
  FulfilmentEnded: strict({
    ...order,
    outcome: Type.Union([Type.Literal('completed'), Type.Literal('cancelled')]),
    ...at,
  }),
}
export type FulfilmentEvent = EventOf<typeof fulfilmentEvents>
