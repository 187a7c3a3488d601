import type { Deadlines } from './fulfilment.ts'
import type { RetryPolicy } from './step-results.ts'

/** All times in milliseconds. */
export interface ProcessManagerConfig extends Deadlines, RetryPolicy {
  /** A command that has no answer by then counts as unknown. */
  readonly stepTimeoutMs: number
  /** An announced refund without an outcome is asked for again after so long. */
  readonly refundCheckMs: number
  /** Orders led at the same time. */
  readonly concurrency: number
  /** Triggers taken from the feed and not finished, at most. */
  readonly readAhead: number
  readonly checkpointEveryMs: number
  /** An order that a store has refused to serve so often in a row is left to a timer; 10 take about ten seconds. */
  readonly postponeAfter: number
  readonly postponeMs: number
  /** When told to stop: how long orders may take to come to a point of rest. */
  readonly drainMs: number
  /** How often is looked whether newer code has gone past an event that this code cannot read. */
  readonly lookAgainMs: number
}

export const defaultProcessManagerConfig: ProcessManagerConfig = {
  reservationDeadlineMs: 60_000,
  authorisationDeadlineMs: 300_000,
  retryBaseMs: 500,
  retryCapMs: 60_000,
  maxAttempts: 10,
  stepTimeoutMs: 30_000,
  refundCheckMs: 30_000,
  concurrency: 256,
  readAhead: 4_096,
  checkpointEveryMs: 200,
  postponeAfter: 10,
  postponeMs: 5_000,
  drainMs: 5_000,
  lookAgainMs: 2_000,
}
