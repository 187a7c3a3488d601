import type { Clock } from '../platform/clock.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { UndecodableEvent } from '../schemas/decoding.ts'
import { type createAdvance, type Impulse, Stopped } from './advance.ts'
import type { Instances } from './instances.ts'
import type { ProcessManagerConfig } from './process-manager-config.ts'
import type { createRefundChecks } from './refund-checks.ts'
import { asText } from './step-results.ts'
import type { SagaTables } from './tables.ts'
import { isNewer, type Work } from './work.ts'

const unexpectedAttempts = 3
const yes = () => true
const no = () => false

/**
 * Does the work that there is for an order, whatever stands in its way: done | postponed, a timer taking its place | set
 * aside for an operator | left to a restart, when told to stop.
 */
export const createInstanceWorker = (deps: {
  readonly advance: ReturnType<typeof createAdvance>
  readonly refunds: ReturnType<typeof createRefundChecks>
  readonly instances: Pick<Instances, 'forget'>
  readonly tables: Pick<SagaTables, 'setTimer' | 'saveBroken'>
  /** A timer was set. @param dueAt ISO 8601 */
  readonly expect: (dueAt: string) => void
  readonly clock: Clock
  readonly logger: Logger
  readonly config: Pick<ProcessManagerConfig, 'postponeAfter' | 'postponeMs'>
  /** Aborted: nothing new is begun. */
  readonly signal: AbortSignal
}) => {
  const { advance, refunds, instances, tables, expect, clock, logger, config, signal } = deps

  /** Orders that were set aside: what happens to them waits until an operator has them tried again, from the beginning. */
  const aside = new Set<string>()

  const handle = async (orderId: string, work: readonly Work[]): Promise<void> => {
    for (const each of work) if ('unreadable' in each) throw each.unreadable
    const nudged = work.some((each) => 'trigger' in each && each.trigger.type === 'Nudge')
    const skipped = aside.has(orderId) && !nudged
    const impulses = skipped
      ? []
      : work
          .filter((each) => 'trigger' in each)
          .map((each): Impulse => (aside.has(orderId) ? { ...each, fresh: true } : each))
    if (impulses.length > 0) {
      await advance(orderId, impulses, signal)
      aside.delete(orderId)
    }
    for (const each of work) {
      if ('refundEvent' in each) await refunds.seen(each.refundEvent)
      if ('refund' in each) await refunds.check(orderId, each.refund)
    }
  }

  /**
   * For an order that does not get through while others may: a timer takes the place of its triggers, so that neither
   * checkpoint nor memory wait for it. Rejects when there is no storing even that: everybody waits then.
   */
  const postpone = async (orderId: string, work: readonly Work[], error: Error): Promise<void> => {
    for (const each of work) if ('refundEvent' in each) await refunds.seen(each.refundEvent)
    const dueAt = new Date(clock.now().getTime() + config.postponeMs)
    await tables.setTimer(orderId, 'retry', dueAt)
    expect(dueAt.toISOString())
    logger.warn({ orderId, error: error.message, dueAt }, 'a fulfilment does not get through and is postponed')
  }

  /** For an order that cannot go on at all: an operator lets it be tried again once the mistake is mended. */
  const setAside = async (orderId: string, work: readonly Work[], error: unknown): Promise<void> => {
    for (const each of work) if ('refundEvent' in each) await refunds.seen(each.refundEvent)
    await tables.saveBroken(orderId, asText(String(error), 1_000), clock.now())
    aside.add(orderId)
  }

  /**
   * Until it is done: a store that is away is waited for, as long as it takes. Any other failure is a mistake in the
   * code or the log that concerns this order; after a few attempts it is set aside, so that the others go on.
   */
  const serve = async (orderId: string, work: readonly Work[]): Promise<void> => {
    let unexpected = 0
    let last: unknown
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        if (unexpected < unexpectedAttempts) await handle(orderId, work)
        // What cannot even be set aside is left to the log of errors.
        else if (unexpected < 2 * unexpectedAttempts) await setAside(orderId, work, last)
        for (const each of work) each.done()
        return
      } catch (error) {
        instances.forget(orderId)
        if (error instanceof Stopped) return
        if (error instanceof EngineUnavailable) {
          logger.debug({ orderId, error: error.message }, 'a fulfilment waits')
          if (attempt >= config.postponeAfter && (await postpone(orderId, work, error).then(yes, no))) {
            for (const each of work) each.done()
            return
          }
        } else if (isNewer(error)) {
          // Newer code may be there already, and takes the timer; this code would only fail again.
          if (await postpone(orderId, work, error).then(yes, no)) {
            for (const each of work) each.done()
            return
          }
        } else {
          // A name that this code does not know stays unknown, however often it is tried.
          unexpected = error instanceof UndecodableEvent ? unexpectedAttempts : unexpected + 1
          last = error
          logger.error({ orderId, err: error, attempt: unexpected }, 'a fulfilment cannot go on')
        }
        await pause(backOffMs(attempt), signal)
      }
    }
  }

  return {
    serve,
    /** Somebody set these orders aside. */
    leaveAside: (orderIds: readonly string[]): void => {
      for (const orderId of orderIds) aside.add(orderId)
    },
  }
}
