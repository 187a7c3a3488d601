import type { FulfilmentEvent, FulfilmentStep } from '../schemas/fulfilment.ts'
import { type Fulfilment, type LineStatus, pendingDeadline } from './fulfilment.ts'

/** Forward: reserve every line, authorise, confirm; shipped: capture and commit. */
const forward = (state: Fulfilment): FulfilmentStep[] => {
  const pending = state.lines.filter((line) => line.status === 'pending')
  if (pending.length > 0 && !state.shipped) return pending.map((line): FulfilmentStep => `reserve:${line.sku}`)
  if (state.payment === 'none' && !state.shipped) return ['authorise']
  if (!state.confirmed) return ['confirm']
  if (!state.shipped) return []
  return [
    ...(state.payment === 'authorised' || state.payment === 'none' ? (['capture'] as const) : []),
    ...state.lines
      .filter((line) => line.status === 'reserved' || line.status === 'pending')
      .map((line): FulfilmentStep => `commit:${line.sku}`),
  ]
}

/**
 * Backward: undo what this instance did or may have done. A step whose outcome was never learnt (a crash, a lost reply)
 * counts as done: to release what was never reserved, or void what was never authorised, is harmless and closes the
 * door to a late arrival.
 */
const backward = (state: Fulfilment, open: ReadonlySet<LineStatus>): FulfilmentStep[] => {
  const mayBeAuthorised =
    state.payment === 'authorised' ||
    (state.authorisationAsked && (state.payment === 'none' || state.payment === 'waived'))
  return [
    ...(state.orderCancelled ? [] : (['cancel'] as const)),
    ...(mayBeAuthorised ? (['void'] as const) : []),
    ...(state.payment === 'captured' ? (['refund'] as const) : []),
    ...state.lines.filter(({ status }) => open.has(status)).map((line): FulfilmentStep => `release:${line.sku}`),
  ]
}

const mayBeReserved = new Set<LineStatus>(['pending', 'reserved', 'waived'])
/** What was refused may be reserved later: by a worker that has lost its lease, or by an attempt that nobody waits for. */
const mayBecomeReserved = new Set<LineStatus>([...mayBeReserved, 'refused'])

/** The way of each saga version; an instance keeps the one it began with, so an entry is never edited, only added. */
const ways = new Map<number, (state: Fulfilment) => FulfilmentStep[]>([
  [1, (state) => (state.cancelReason ? backward(state, mayBeReserved) : forward(state))],
  [2, (state) => (state.cancelReason ? backward(state, mayBecomeReserved) : forward(state))],
])

/** An instance follows a saga version that only newer code has. */
export class NewerSagaVersion extends Error {
  constructor({ orderId, sagaVersion }: Pick<Fulfilment, 'orderId' | 'sagaVersion'>) {
    super(`fulfilment ${orderId} follows saga version ${sagaVersion}, unknown here`)
    this.name = 'NewerSagaVersion'
  }
}

/**
 * Everything that is left to do at this stage, issuable now or not.
 *
 * @throws NewerSagaVersion
 */
const wanted = (state: Fulfilment): FulfilmentStep[] => {
  if (state.ended) return []
  const way = ways.get(state.sagaVersion)
  if (!way) throw new NewerSagaVersion(state)
  return way(state)
}

/** The steps that can be issued now, all at once: not those parked, nor those that failed and are to be tried later. */
export const next = (state: Fulfilment, now: Date): FulfilmentStep[] => {
  const at = now.toISOString()
  return wanted(state).filter((step) => !state.parked.has(step) && (state.failures.get(step)?.retryAt ?? '') <= at)
}

/** The last word, once nothing is left to do: completed after a shipment, cancelled after a compensation. */
export const conclude = (state: Fulfilment, now: Date): FulfilmentEvent[] => {
  if (state.ended || wanted(state).length > 0 || !(state.cancelReason || state.shipped)) return []
  const outcome = state.cancelReason ? 'cancelled' : 'completed'
  return [{ type: 'FulfilmentEnded', data: { orderId: state.orderId, outcome, at: now.toISOString() } }]
}

export interface Timer {
  readonly name: 'reservation-deadline' | 'authorisation-deadline' | 'retry'
  /** ISO 8601 */
  readonly dueAt: string
}

/** When the instance wants to be looked at again even if nothing happens. */
export const timersOf = (state: Fulfilment): Timer[] => {
  const deadline = pendingDeadline(state)
  const retries = wanted(state).flatMap((step) => state.failures.get(step)?.retryAt ?? [])
  const [firstRetry] = retries.sort()
  return [
    ...(deadline === 'reservation'
      ? [{ name: 'reservation-deadline' as const, dueAt: state.reservationDeadline }]
      : deadline === 'authorisation'
        ? [{ name: 'authorisation-deadline' as const, dueAt: state.authorisationDeadline }]
        : []),
    ...(firstRetry ? [{ name: 'retry' as const, dueAt: firstRetry }] : []),
  ]
}

export interface InstanceStatus {
  readonly status: 'running' | 'waiting' | 'parked' | 'completed' | 'cancelled'
  /** `shipment` or `retry:<step>` */
  readonly waitingFor: string | null
  readonly parkedStep: FulfilmentStep | null
  readonly error: string | null
  readonly attempts: number
}

/** How the instance looks from outside: one row of saga.instances. */
export const statusOf = (state: Fulfilment): InstanceStatus => {
  const calm = { waitingFor: null, parkedStep: null, error: null, attempts: 0 }
  if (state.ended) return { ...calm, status: state.ended }
  const [parked] = state.parked
  if (parked) {
    const [parkedStep, { error, attempts }] = parked
    return { status: 'parked', waitingFor: null, parkedStep, error, attempts }
  }
  const steps = wanted(state)
  if (steps.length === 0) return { ...calm, status: 'waiting', waitingFor: 'shipment' }
  const failing = steps.find((step) => state.failures.has(step))
  if (failing === undefined || !steps.every((step) => state.failures.has(step))) return { ...calm, status: 'running' }
  return {
    ...calm,
    status: 'waiting',
    waitingFor: `retry:${failing}`,
    attempts: state.failures.get(failing)?.attempts ?? 0,
  }
}
