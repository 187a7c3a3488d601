import { isTransient } from '../platform/database.ts'
import { backOffMs } from '../platform/pause.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { ParkedStreamsChanged } from './parking.ts'

/** Why a projection does not go on; `orderlog_projection_waiting` has a series for each. */
export type WaitCause = 'engine-away' | 'newer-event' | 'failure' | 'parked-streams' | 'stopped'

/** What to do about a stretch of events that could not be applied, as data: the same live and in a rebuild. */
export type Verdict =
  /** No event's fault: try for as long as it takes, and say so. */
  | { readonly do: 'wait'; readonly afterMs: number; readonly reason: string; readonly cause: WaitCause }
  /** Some event's fault: look for it in either half. */
  | { readonly do: 'halve' }
  | { readonly do: 'retry'; readonly afterMs: number }
  | { readonly do: 'park'; readonly reason: string }

export interface ErrorPolicy {
  /** Times an event is tried before it is parked. */
  readonly maxAttempts: number
  /** Streams that may have parked events; one more stops the projection, as it fails everywhere rather than somewhere. */
  readonly maxParkedStreams: number
  /** Pause before looking again whether an engine is back or a deploy has brought newer code, milliseconds. */
  readonly waitMs: (attempt: number) => number
  /** How often is looked whether a projection may go on that needs newer code or has too much parked, milliseconds. */
  readonly lookAgainMs: number
}

export const defaultErrorPolicy: ErrorPolicy = {
  maxAttempts: 3,
  maxParkedStreams: 1_000,
  waitMs: backOffMs,
  lookAgainMs: 2_000,
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * @param failed.events how many were tried together
 * @param failed.attempts how often an event alone has failed by itself, this time included
 * @param failed.waits how often was waited already
 */
export const judge = (
  error: unknown,
  failed: { readonly events: number; readonly attempts: number; readonly waits: number },
  policy: ErrorPolicy,
): Verdict => {
  const wait = (cause: WaitCause): Verdict => ({
    ...{ do: 'wait', cause },
    ...{ afterMs: policy.waitMs(failed.waits), reason: messageOf(error) },
  })
  if (error instanceof ParkedStreamsChanged) return { do: 'retry', afterMs: 0 }
  if (isTransient(error)) return wait('engine-away')
  if (failed.events === 0) return wait('failure')
  if (failed.events > 1) return { do: 'halve' }
  if (error instanceof UndecodableEvent && error.code === 'newer-event') return wait('newer-event')
  if (error instanceof UndecodableEvent || failed.attempts >= policy.maxAttempts)
    return { do: 'park', reason: messageOf(error) }
  return { do: 'retry', afterMs: 10 * 4 ** (failed.attempts - 1) }
}
