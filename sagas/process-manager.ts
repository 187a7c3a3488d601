import { setMaxListeners } from 'node:events'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { EventFeed, FeedBatch, FeedEvent } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import { EngineUnavailable, LogWentBack } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import type { PaymentEvent } from '../schemas/payment.ts'
import { namesOf } from '../schemas/stored-names.ts'
import { idOf } from '../schemas/streams.ts'
import { createAdvance, type Impulse, Stopped } from './advance.ts'
import { type Checkpoints, consumer, createCheckpoints } from './checkpoint.ts'
import type { Deadlines } from './fulfilment.ts'
import { createInstances } from './instances.ts'
import { type CommandDoor, createIssueStep } from './issue-step.ts'
import { createLanes } from './lanes.ts'
import { createLowWaterMark, type LowWaterMark } from './low-water-mark.ts'
import { createRefundChecks } from './refund-checks.ts'
import { asText, type RetryPolicy } from './step-results.ts'
import { createSagaTables, type SagaTables } from './tables.ts'
import { createTimers } from './timers.ts'

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
}

export interface FulfilmentProcessManager {
  /**
   * Leads orders until the signal aborts, then drains for `drainMs` at most.
   *
   * @throws StartupError when its checkpoint is of another log or beyond the end of this one; LogWentBack, at once, when
   * what it was triggered by is no longer in the log
   */
  run(signal: AbortSignal): Promise<void>
  /** Fires the timers that are due now, as `run` does by itself; returns how many. */
  fireDue(): Promise<number>
  status(): { readonly position: bigint; readonly busy: number }
}

type Work = (
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
const unexpectedAttempts = 3
const yes = () => true
const no = () => false

/**
 * The runtime of the order-fulfilment saga: feed and timers in, commands out.
 *
 * A trigger is finished when its instance rests and everything about it is stored; the checkpoint is the low-water mark
 * of finished triggers. So whatever instant a crash picks, every instance that was not at rest has an unfinished trigger
 * or a stored timer, and is taken up again.
 */
export const createFulfilmentProcessManager = (deps: {
  readonly feed: EventFeed
  readonly store: EventStore
  readonly commands: CommandDoor
  readonly database: Database
  readonly clock: Clock
  readonly config?: Partial<ProcessManagerConfig>
  readonly logger: Logger
  readonly metrics: Metrics
  /** Only tests put others in their place. */
  readonly tables?: SagaTables
  readonly checkpoints?: Checkpoints
}): FulfilmentProcessManager => {
  const { feed, store, commands, clock, logger, metrics } = deps
  const config = { ...defaultProcessManagerConfig, ...deps.config }
  const stored = deps.tables ?? createSagaTables(deps.database)
  const checkpoints = deps.checkpoints ?? createCheckpoints({ database: deps.database, log: store })
  const stopping = new AbortController()
  // Every order that waits for a store listens to it.
  setMaxListeners(0, stopping.signal)
  const tables: SagaTables = {
    ...stored,
    save: async (row) => {
      await stored.save(row)
      for (const { dueAt } of row.timers) timers.expect(dueAt)
    },
  }
  const instances = createInstances({ store, capacity: 20_000 })
  const issue = createIssueStep({ commands, store, clock, logger, metrics, stepTimeoutMs: config.stepTimeoutMs })
  const advance = createAdvance({ instances, issue, tables, store, clock, logger, config })
  const refunds = createRefundChecks({
    ...{ store, commands, tables, clock, logger, refundCheckMs: config.refundCheckMs },
    expect: (dueAt) => timers.expect(dueAt),
  })

  const handle = async (orderId: string, work: readonly Work[]): Promise<void> => {
    for (const each of work) if ('unreadable' in each) throw each.unreadable
    const impulses = work.filter((each) => 'trigger' in each)
    if (impulses.length > 0) await advance(orderId, impulses, stopping.signal)
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
    await stored.setTimer(orderId, 'retry', dueAt)
    timers.expect(dueAt.toISOString())
    logger.warn({ orderId, error: error.message, dueAt }, 'a fulfilment does not get through and is postponed')
  }

  /** For an order that cannot go on at all: an operator lets it be tried again once the mistake is mended. */
  const setAside = async (orderId: string, work: readonly Work[], error: unknown): Promise<void> => {
    for (const each of work) if ('refundEvent' in each) await refunds.seen(each.refundEvent)
    await stored.saveBroken(orderId, asText(String(error), 1_000), clock.now())
  }

  /**
   * Until it is done: a store that is away is waited for, as long as it takes. Any other failure is a mistake in the
   * code or the log that concerns this order; after a few attempts it is set aside, so that the others go on.
   */
  const persist = async (orderId: string, work: readonly Work[]): Promise<void> => {
    let unexpected = 0
    let last: unknown
    for (let attempt = 0; !stopping.signal.aborted; attempt += 1) {
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
        } else {
          unexpected += 1
          last = error
          logger.error({ orderId, err: error, attempt: unexpected }, 'a fulfilment cannot go on')
        }
        await pause(backOffMs(attempt), stopping.signal)
      }
    }
  }

  const lanes = createLanes<Work>({ concurrency: config.concurrency, handle: persist })

  const firing = new Set<string>()
  const timers = createTimers({
    ...{ tables, clock, logger },
    fire: ({ orderId, name }) => {
      // One that takes longer than its claim lasts is claimed again.
      const key = `${orderId} ${name}`
      if (firing.has(key)) return
      firing.add(key)
      const done = () => void firing.delete(key)
      const [kind, refund] = name.split(':')
      if (kind === 'refund' && refund) lanes.add(orderId, { refund, done })
      else lanes.add(orderId, { trigger: { type: 'Nudge' }, fresh: true, done })
    },
    room: () => config.readAhead - firing.size,
  })

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

  const workOf = (event: FeedEvent, done: () => void): Work => {
    try {
      return readable(event, done)
    } catch (unreadable) {
      return { unreadable, done }
    }
  }

  const marks = new Map<number, { readonly mark: LowWaterMark; saved: bigint }>()
  let owned: readonly number[] = []
  let unfinished = 0
  let roomMade: (() => void) | undefined

  const take = (batch: FeedBatch, mark: LowWaterMark): void => {
    const finished = mark.begin(batch.position, batch.events.length)
    for (const event of batch.events) {
      unfinished += 1
      const done = () => {
        unfinished -= 1
        finished()
        roomMade?.()
      }
      lanes.add(idOf(event.stored.stream), workOf(event, done))
    }
  }

  const room = async (signal: AbortSignal): Promise<void> => {
    while (unfinished >= config.readAhead && !signal.aborted)
      await new Promise<void>((resolve) => {
        roomMade = resolve
      })
    roomMade = undefined
  }

  const saveCheckpoints = async (): Promise<void> => {
    for (const [partition, entry] of marks) {
      const position = entry.mark.position()
      if (position === entry.saved) continue
      await checkpoints.save(partition, position)
      entry.saved = position
    }
  }

  const keepCheckpoints = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await pause(config.checkpointEveryMs, signal)
      await saveCheckpoints().catch((error: unknown) => logger.debug({ error: String(error) }, 'no checkpoint saved'))
    }
  }

  const resume = async (partition: number): Promise<bigint> => {
    const position = await checkpoints.read(partition)
    marks.set(partition, { mark: createLowWaterMark(position), saved: position })
    return position
  }

  const consume = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => roomMade?.(), { once: true })
    const onAssigned = (partitions: readonly number[]): void => {
      owned = partitions
    }
    const options = { checkpoint: resume, onAssigned, types, batchSize: 500, signal }
    for await (const batch of feed.consume(consumer, options)) {
      const mark = marks.get(batch.partition)?.mark
      if (!mark) throw new Error(`a batch of partition ${batch.partition} came before its checkpoint was asked for`)
      take(batch, mark)
      await room(signal)
    }
  }

  return {
    fireDue: timers.fireDue,
    status: () => ({
      position:
        owned
          .map((partition) => marks.get(partition)?.mark.position() ?? 0n)
          .reduce<bigint | undefined>((low, each) => (low === undefined || each < low ? each : low), undefined) ?? 0n,
      busy: lanes.busy,
    }),
    run: async (signal) => {
      const over = new AbortController()
      const ended = AbortSignal.any([signal, over.signal])
      const helpers = [timers.run(ended), keepCheckpoints(ended)]
      let putBack = false
      try {
        await consume(signal)
      } catch (error) {
        putBack = error instanceof LogWentBack
        throw error
      } finally {
        over.abort()
        const timer = new AbortController()
        // What never happened leads to no command, and to no checkpoint.
        if (putBack) timer.abort()
        // Nothing new is begun after the drain; what is under way then is taken up from the checkpoint.
        await Promise.race([lanes.idle(), pause(config.drainMs, timer.signal)])
        timer.abort()
        stopping.abort()
        await Promise.all(helpers)
        if (!putBack)
          await saveCheckpoints().catch((error: unknown) =>
            logger.warn({ error: String(error) }, 'no checkpoint saved'),
          )
      }
    },
  }
}
