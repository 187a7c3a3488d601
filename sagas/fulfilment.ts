import type { FulfilmentEvent, FulfilmentStep } from '../schemas/fulfilment.ts'
import type { CancelReason, OrderEvent } from '../schemas/order.ts'
import type { Money } from '../schemas/primitives.ts'

/** The way an instance goes is fixed by the version it began with; see next-steps.ts. */
export const currentSagaVersion = 2

/** `pending`: asked for, or about to be, with no outcome on record; the stock may or may not be reserved. */
export type LineStatus = 'pending' | 'reserved' | 'waived' | 'refused' | 'released' | 'committed'
export type PaymentStatus = 'none' | 'authorised' | 'waived' | 'declined' | 'captured' | 'voided' | 'refunded'

export interface FulfilmentLine {
  readonly sku: string
  readonly quantity: number
  readonly status: LineStatus
}

export interface Failure {
  readonly attempts: number
  /** Those among them that somebody answered, or may have acted upon. */
  readonly counted: number
  /** ISO 8601 */
  readonly retryAt: string
}

/** What one instance of the order-fulfilment saga knows: the fold of `fulfilment-<orderId>`. */
export interface Fulfilment {
  readonly orderId: string
  readonly customerId: string
  readonly sagaVersion: number
  readonly total: Money
  readonly paymentToken: string
  readonly reservationDeadline: string
  readonly authorisationDeadline: string
  readonly startedAt: string
  readonly lines: readonly FulfilmentLine[]
  readonly payment: PaymentStatus
  /** Every line was reserved once, so the authorisation may have been asked for, outcome on record or not. */
  readonly authorisationAsked: boolean
  readonly confirmed: boolean
  readonly shipped: boolean
  /** Set when the order is not to be fulfilled; from then on the instance only undoes. */
  readonly cancelReason: CancelReason | null
  readonly orderCancelled: boolean
  readonly failures: ReadonlyMap<FulfilmentStep, Failure>
  readonly parked: ReadonlyMap<FulfilmentStep, { readonly attempts: number; readonly error: string }>
  readonly ended: 'completed' | 'cancelled' | null
}

const started = (data: Extract<FulfilmentEvent, { type: 'FulfilmentStarted' }>['data']): Fulfilment => ({
  orderId: data.orderId,
  customerId: data.customerId,
  sagaVersion: data.sagaVersion,
  total: data.total,
  paymentToken: data.paymentToken,
  reservationDeadline: data.reservationDeadline,
  authorisationDeadline: data.authorisationDeadline,
  startedAt: data.at,
  lines: data.lines.map((line) => ({ ...line, status: 'pending' })),
  payment: 'none',
  authorisationAsked: false,
  confirmed: false,
  shipped: false,
  cancelReason: null,
  orderCancelled: false,
  failures: new Map(),
  parked: new Map(),
  ended: null,
})

const without = <Key, Value>(map: ReadonlyMap<Key, Value>, gone: (key: Key) => boolean): ReadonlyMap<Key, Value> =>
  map.size === 0 ? map : new Map([...map].filter(([key]) => !gone(key)))

const settled = (state: Fulfilment, ...steps: readonly FulfilmentStep[]): Fulfilment =>
  state.failures.size === 0 && state.parked.size === 0
    ? state
    : {
        ...state,
        failures: without(state.failures, (step) => steps.includes(step)),
        parked: without(state.parked, (step) => steps.includes(step)),
      }

const isForward = (step: FulfilmentStep): boolean =>
  step.startsWith('reserve:') || step === 'authorise' || step === 'confirm'

/** Turns back: what failed or was parked on the way forward is of no interest any more. */
const abandoned = (state: Fulfilment, reason: CancelReason): Fulfilment => ({
  ...state,
  cancelReason: state.cancelReason ?? reason,
  failures: without(state.failures, isForward),
  parked: without(state.parked, isForward),
})

const withLine = (state: Fulfilment, sku: string, status: LineStatus): Fulfilment => {
  const lines = state.lines.map((line) => (line.sku === sku ? { ...line, status } : line))
  return {
    ...state,
    lines,
    authorisationAsked: state.authorisationAsked || (allReserved(lines) && !state.cancelReason),
  }
}

const allReserved = (lines: readonly FulfilmentLine[]): boolean =>
  lines.every(({ status }) => status === 'reserved' || status === 'waived')

/** The operator has done by hand, or does without, what the step was for. */
const skipped = (state: Fulfilment, step: FulfilmentStep): Fulfilment => {
  switch (step) {
    case 'authorise':
      return { ...state, payment: 'waived' }
    case 'confirm':
      return { ...state, confirmed: true }
    case 'capture':
      return { ...state, payment: 'captured' }
    case 'void':
      return { ...state, payment: 'voided' }
    case 'refund':
      return { ...state, payment: 'refunded' }
    case 'cancel':
      return { ...state, orderCancelled: true }
    default: {
      const sku = step.slice(step.indexOf(':') + 1)
      if (step.startsWith('reserve:')) return withLine(state, sku, 'waived')
      return withLine(state, sku, step.startsWith('release:') ? 'released' : 'committed')
    }
  }
}

/** Folds one event of the instance's stream; the first is FulfilmentStarted. */
export const evolve = (state: Fulfilment | null, event: FulfilmentEvent): Fulfilment => {
  if (event.type === 'FulfilmentStarted') return started(event.data)
  if (!state) throw new Error(`a fulfilment cannot begin with ${event.type}`)
  switch (event.type) {
    case 'LineReserved':
      return settled(withLine(state, event.data.sku, 'reserved'), `reserve:${event.data.sku}`)
    case 'LineRefused':
      return abandoned(withLine(state, event.data.sku, 'refused'), 'out_of_stock')
    case 'FulfilmentAuthorised':
      return settled({ ...state, payment: 'authorised' }, 'authorise')
    case 'FulfilmentDeclined':
      return abandoned({ ...state, payment: 'declined' }, 'payment_declined')
    case 'FulfilmentConfirmed':
      return settled({ ...state, confirmed: true }, 'confirm')
    case 'DeadlinePassed':
      return abandoned(state, event.data.deadline === 'reservation' ? 'reservation_expired' : 'authorisation_expired')
    case 'CancellationSeen':
      return settled({ ...abandoned(state, event.data.reason), orderCancelled: true }, 'cancel')
    case 'ShipmentSeen':
      return settled({ ...state, confirmed: true, shipped: true }, 'confirm')
    case 'FulfilmentCaptured':
      return settled({ ...state, payment: 'captured' }, 'capture', 'void')
    case 'LineCommitted':
      return settled(withLine(state, event.data.sku, 'committed'), `commit:${event.data.sku}`)
    case 'LineReleased':
      return settled(withLine(state, event.data.sku, 'released'), `release:${event.data.sku}`)
    case 'FulfilmentVoided':
      return settled({ ...state, payment: 'voided' }, 'void')
    case 'FulfilmentRefunded':
      return settled({ ...state, payment: 'refunded' }, 'refund')
    case 'FulfilmentCancelled':
      return settled({ ...state, orderCancelled: true }, 'cancel')
    case 'StepFailed': {
      const { step, attempt: attempts, retryAt, unavailable } = event.data
      const counted = (state.failures.get(step)?.counted ?? 0) + (unavailable ? 0 : 1)
      return { ...state, failures: new Map(state.failures).set(step, { attempts, counted, retryAt }) }
    }
    case 'FulfilmentParked': {
      const { step, attempts, error } = event.data
      return {
        ...state,
        failures: without(state.failures, (failed) => failed === step),
        parked: new Map(state.parked).set(step, { attempts, error }),
      }
    }
    case 'FulfilmentRetried':
      return settled(state, event.data.step)
    case 'StepSkipped':
      return settled(skipped(state, event.data.step), event.data.step)
    case 'FulfilmentEnded':
      return { ...state, ended: event.data.outcome }
    default:
      event satisfies never
      return state
  }
}

/** What sets an instance going: an event of its order, or a nudge (a timer, an operator, a repeated delivery). */
export type Trigger =
  | Extract<OrderEvent, { type: 'OrderPlaced' | 'OrderShipped' | 'OrderCancelled' }>
  | { readonly type: 'Nudge' }

/** How long an instance waits, in milliseconds from its start. */
export interface Deadlines {
  readonly reservationDeadlineMs: number
  readonly authorisationDeadlineMs: number
}

type OrderPlaced = Extract<OrderEvent, { type: 'OrderPlaced' }>

const begin = ({ data }: OrderPlaced, now: Date, deadlines: Deadlines): FulfilmentEvent => {
  const quantities = new Map<string, number>()
  for (const { sku, quantity } of data.lines) quantities.set(sku, (quantities.get(sku) ?? 0) + quantity)
  return {
    type: 'FulfilmentStarted',
    data: {
      orderId: data.orderId,
      customerId: data.customerId,
      sagaVersion: currentSagaVersion,
      lines: [...quantities].map(([sku, quantity]) => ({ sku, quantity })),
      total: data.total,
      paymentToken: data.paymentToken,
      reservationDeadline: new Date(now.getTime() + deadlines.reservationDeadlineMs).toISOString(),
      authorisationDeadline: new Date(now.getTime() + deadlines.authorisationDeadlineMs).toISOString(),
      at: now.toISOString(),
    },
  }
}

/** The deadline that concerns the instance as it stands, if any. */
export const pendingDeadline = (state: Fulfilment): 'reservation' | 'authorisation' | null => {
  if (state.ended || state.cancelReason || state.shipped) return null
  if (!allReserved(state.lines)) return 'reservation'
  return state.payment === 'none' ? 'authorisation' : null
}

const passedDeadline = (state: Fulfilment, now: Date): FulfilmentEvent[] => {
  const deadline = pendingDeadline(state)
  if (!deadline) return []
  const due = deadline === 'reservation' ? state.reservationDeadline : state.authorisationDeadline
  if (now.toISOString() < due) return []
  return [{ type: 'DeadlinePassed', data: { orderId: state.orderId, deadline, at: now.toISOString() } }]
}

/**
 * What a trigger adds to the record. Seen before, or of no interest any more: nothing. A deadline counts only while the
 * instance is at the stage that it limits, however late its timer fires.
 *
 * @param state null for an instance that has not begun; only OrderPlaced begins one
 */
export const observe = (
  state: Fulfilment | null,
  trigger: Trigger,
  now: Date,
  deadlines: Deadlines,
): FulfilmentEvent[] => {
  if (!state) return trigger.type === 'OrderPlaced' ? [begin(trigger, now, deadlines)] : []
  if (state.ended) return []
  const at = now.toISOString()
  switch (trigger.type) {
    case 'OrderShipped':
      return state.shipped ? [] : [{ type: 'ShipmentSeen', data: { orderId: state.orderId, at } }]
    case 'OrderCancelled':
      if (state.orderCancelled) return []
      return [{ type: 'CancellationSeen', data: { orderId: state.orderId, reason: trigger.data.reason, at } }]
    case 'OrderPlaced':
    case 'Nudge':
      return passedDeadline(state, now)
    default:
      trigger satisfies never
      return []
  }
}
