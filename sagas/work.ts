import type { FeedEvent } from '../platform/event-feed.ts'
import { createRelevance } from '../platform/relevance.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import type { PaymentEvent } from '../schemas/payment.ts'
import { namesOf } from '../schemas/stored-names.ts'
import type { Impulse } from './advance.ts'
import { NewerSagaVersion } from './next-steps.ts'

/** Something about one order to act upon, and what to call once that is done and stored. */
export type Work = (
  | Impulse
  | { readonly refund: string }
  | { readonly refundEvent: RefundEvent }
  | { readonly unreadable: unknown }
) & { readonly done: () => void }
type RefundEvent = Extract<PaymentEvent, { type: 'RefundRequested' | 'PaymentRefunded' | 'RefundRefused' }>

const types = namesOf(
  'OrderPlaced',
  'OrderShipped',
  'OrderCancelled',
  'FulfilmentRetried',
  'StepSkipped',
  'RefundRequested',
  'PaymentRefunded',
  'RefundRefused',
)
/** Whether the saga has anything to do with an event, by its stored name. */
export const isRelevant = createRelevance(types)
/** Whether only newer code can go on: it alone can read an event, or has the saga version of an instance. */
export const isNewer = (error: unknown): error is UndecodableEvent | NewerSagaVersion =>
  error instanceof NewerSagaVersion || (error instanceof UndecodableEvent && error.code === 'newer-event')

const readable = (event: FeedEvent, done: () => void): Work => {
  const recorded = event.recorded()
  switch (recorded.type) {
    case 'OrderPlaced':
    case 'OrderShipped':
    case 'OrderCancelled':
      return { trigger: recorded, event: recorded, done }
    case 'RefundRequested':
    case 'PaymentRefunded':
    case 'RefundRefused':
      return { refundEvent: recorded, done }
    default:
      return { trigger: { type: 'Nudge' }, event: recorded, atLeast: recorded.revision, done }
  }
}

/** Why an event cannot be read; undefined when it can. */
export const unreadableIn = (event: FeedEvent): unknown => {
  try {
    event.recorded()
    return undefined
  } catch (error) {
    return error
  }
}

/** What an event of the feed asks for. */
export const workOf = (event: FeedEvent, done: () => void): Work => {
  try {
    return readable(event, done)
  } catch (unreadable) {
    return { unreadable, done }
  }
}
