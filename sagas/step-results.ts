import type { CommandRejected, ErrorCode } from '../schemas/errors.ts'
import type { FulfilmentEvent, FulfilmentStep } from '../schemas/fulfilment.ts'
import type { CancelReason } from '../schemas/order.ts'
import { type Fulfilment, pendingDeadline } from './fulfilment.ts'

/** What came of a step. */
export type StepResult =
  | { readonly outcome: 'done' }
  /** A business answer that the saga is prepared for: no stock, card declined. */
  | { readonly outcome: 'refused'; readonly reason: string }
  /** The order was cancelled before the step came. */
  | { readonly outcome: 'order-cancelled'; readonly reason: CancelReason }
  /** A void came too late: the payment has been captured. */
  | { readonly outcome: 'captured-already' }
  /** It did not work, or nobody knows whether it did: the same step again later. `unavailable`: nobody was there. */
  | { readonly outcome: 'failed'; readonly error: string; readonly unavailable?: true }
  /** It will not work however often it is tried: an operator has to look. */
  | { readonly outcome: 'impossible'; readonly error: string }

export interface RetryPolicy {
  /** Pause before the second attempt; doubles with each further one, in milliseconds. */
  readonly retryBaseMs: number
  readonly retryCapMs: number
  /**
   * The instance is parked when so many attempts have failed. Attempts that found the payment provider away do not count,
   * and a step that a deadline limits is tried until then: when provider or time decide by themselves, no operator need.
   */
  readonly maxAttempts: number
}

/** Fits the schema's `text`: well-formed, no control characters, bounded. */
export const asText = (text: string, maxLength: number): string =>
  text
    .replace(/\p{Cc}/gu, ' ')
    .slice(0, maxLength)
    .toWellFormed() || 'unknown'

/** From 0.75 to 1.25, ever the same for the same attempt: many instances that fail together do not come back together. */
const spread = (seed: string): number => {
  let hash = 2166136261
  for (let index = 0; index < seed.length; index += 1) hash = Math.imul(hash ^ seed.charCodeAt(index), 16777619)
  return 0.75 + ((hash >>> 0) % 1_000) / 2_000
}

const isLimited = (state: Fulfilment, step: FulfilmentStep): boolean => {
  const deadline = pendingDeadline(state)
  return step === 'authorise' ? deadline === 'authorisation' : step.startsWith('reserve:') && deadline === 'reservation'
}

const failed = (
  state: Fulfilment,
  step: FulfilmentStep,
  result: Extract<StepResult, { outcome: 'failed' | 'impossible' }>,
  now: Date,
  policy: RetryPolicy,
): FulfilmentEvent => {
  const { orderId } = state
  const before = state.failures.get(step)
  const unavailable = result.outcome === 'failed' && result.unavailable
  const [attempt, counted] = [(before?.attempts ?? 0) + 1, (before?.counted ?? 0) + (unavailable ? 0 : 1)]
  const details = { orderId, step, error: asText(result.error, 1_000), at: now.toISOString() }
  const exhausted = counted >= policy.maxAttempts && !unavailable && !isLimited(state, step)
  if (exhausted || result.outcome === 'impossible')
    return { type: 'FulfilmentParked', data: { ...details, attempts: counted } }
  const pauseMs = Math.min(policy.retryCapMs, policy.retryBaseMs * 2 ** (attempt - 1))
  const retryAt = new Date(now.getTime() + pauseMs * spread(`${orderId}${step}${attempt}`)).toISOString()
  return { type: 'StepFailed', data: { ...details, attempt, retryAt, ...(unavailable ? { unavailable } : {}) } }
}

const done = (state: Fulfilment, step: FulfilmentStep, at: string): FulfilmentEvent => {
  const { orderId } = state
  switch (step) {
    case 'authorise':
      return { type: 'FulfilmentAuthorised', data: { orderId, at } }
    case 'confirm':
      return { type: 'FulfilmentConfirmed', data: { orderId, at } }
    case 'capture':
      return { type: 'FulfilmentCaptured', data: { orderId, at } }
    case 'void':
      return { type: 'FulfilmentVoided', data: { orderId, at } }
    case 'refund':
      return { type: 'FulfilmentRefunded', data: { orderId, at } }
    case 'cancel':
      return { type: 'FulfilmentCancelled', data: { orderId, reason: state.cancelReason ?? 'operator_request', at } }
    default: {
      const sku = step.slice(step.indexOf(':') + 1)
      if (step.startsWith('reserve:')) return { type: 'LineReserved', data: { orderId, sku, at } }
      if (step.startsWith('release:')) return { type: 'LineReleased', data: { orderId, sku, at } }
      return { type: 'LineCommitted', data: { orderId, sku, at } }
    }
  }
}

/** The events that a step's result adds to the record. */
export const record = (
  state: Fulfilment,
  step: FulfilmentStep,
  result: StepResult,
  now: Date,
  policy: RetryPolicy,
): FulfilmentEvent[] => {
  const { orderId } = state
  const at = now.toISOString()
  switch (result.outcome) {
    case 'done':
      return [done(state, step, at)]
    case 'refused': {
      const reason = asText(result.reason, 200)
      if (step === 'authorise') return [{ type: 'FulfilmentDeclined', data: { orderId, reason, at } }]
      return [{ type: 'LineRefused', data: { orderId, sku: step.slice(step.indexOf(':') + 1), reason, at } }]
    }
    case 'order-cancelled':
      return state.orderCancelled ? [] : [{ type: 'CancellationSeen', data: { orderId, reason: result.reason, at } }]
    case 'captured-already':
      return [{ type: 'FulfilmentCaptured', data: { orderId, at } }]
    case 'failed':
    case 'impossible':
      return [failed(state, step, result, now, policy)]
    default:
      result satisfies never
      return []
  }
}

const noStock: readonly ErrorCode[] = ['out-of-stock', 'stock-not-found', 'product-not-found', 'reservation-settled']
const nothingOpen: readonly ErrorCode[] = ['payment-not-found', 'payment-settled']
const worthRepeating: readonly ErrorCode[] = [
  'payment-outcome-unknown',
  'payment-capture-refused',
  'refund-refused',
  'concurrent-update',
  'engine-unavailable',
  'overloaded',
  'shutting-down',
  'internal-error',
]

/** What the refusal of a step's command means for the saga. */
export const resultOfRejection = (step: FulfilmentStep, { code, details, message }: CommandRejected): StepResult => {
  if (step.startsWith('reserve:') && noStock.includes(code)) return { outcome: 'refused', reason: code }
  if (step.startsWith('release:') && (code === 'reservation-not-found' || code === 'stock-not-found'))
    return { outcome: 'done' }
  if (step === 'authorise' && code === 'payment-settled')
    return { outcome: 'refused', reason: typeof details.reason === 'string' ? details.reason : code }
  if (step === 'void' && nothingOpen.includes(code)) return { outcome: 'done' }
  if (step === 'void' && code === 'payment-already-captured') return { outcome: 'captured-already' }
  const error = `${code}: ${typeof details.detail === 'string' ? details.detail : message}`
  return { outcome: worthRepeating.includes(code) ? 'failed' : 'impossible', error }
}
