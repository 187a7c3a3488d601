import type { Clock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { FulfilmentEvent, FulfilmentStep } from '../schemas/fulfilment.ts'
import { orderStream } from '../schemas/streams.ts'
import { type Deadlines, evolve, type Fulfilment, observe, type Trigger } from './fulfilment.ts'
import type { CausedEvent, Instance, Instances } from './instances.ts'
import type { StepContext } from './issue-step.ts'
import { conclude, next } from './next-steps.ts'
import { commandIdOf } from './step-commands.ts'
import { type RetryPolicy, record, type StepResult } from './step-results.ts'
import { rowOf, type SagaTables } from './tables.ts'

/** A trigger and the event it came with; a timer's or an operator's nudge has none. */
export interface Impulse {
  readonly trigger: Trigger
  readonly event?: Pick<RecordedEvent, 'id' | 'metadata'>
  /** The instance's own stream is known to reach this revision. */
  readonly atLeast?: bigint
  /**
   * Of a timer: somebody else may have led the instance on, or set it aside with its triggers. What is in memory does not
   * count, and the order is asked for everything that it ever said.
   */
  readonly fresh?: true
}

/** The process is told to stop: what was begun is taken up again from the checkpoint. */
export class Stopped extends Error {
  constructor() {
    super('the process manager is stopping')
    this.name = 'Stopped'
  }
}

/**
 * These are decisions of the saga itself and turn the way: they must be on record, and so have won against any other
 * worker, before anything is done about them. Facts of the order may be recorded together with what they lead to:
 * until then the feed repeats them.
 */
const firstOnRecord = (event: FulfilmentEvent): boolean =>
  event.type === 'FulfilmentStarted' || event.type === 'DeadlinePassed'

const slowMs = 1_000

/** Events decided upon and the state that they lead to, not yet on record. */
const draftOf = (instance: Instance) => {
  const events: CausedEvent[] = []
  let state = instance.state
  return {
    events,
    state: () => state,
    add: (more: readonly FulfilmentEvent[], causationId: string) => {
      for (const event of more) {
        state = evolve(state, event)
        events.push({ event, causationId })
      }
    },
  }
}

/**
 * Leads one instance as far as it goes now. In a loop: see what triggered, issue all steps that can be issued, record
 * trigger and outcomes in one append; until nothing can be issued. A conflict means that somebody else led it on: read
 * again, go on from there. Every command is idempotent by its id, so a crash between any two points only repeats.
 *
 * Resolves when the instance rests and its row and timers are stored. One call per order at a time.
 *
 * @throws EngineUnavailable, Stopped
 */
export const createAdvance = (deps: {
  readonly instances: Instances
  readonly issue: (state: Fulfilment, step: FulfilmentStep, context: StepContext) => Promise<StepResult>
  readonly tables: Pick<SagaTables, 'save'>
  readonly store: EventStore
  readonly clock: Clock
  readonly logger: Logger
  readonly config: Deadlines & RetryPolicy
}) => {
  const { instances, issue, tables, store, clock, logger, config } = deps

  /** For an instance that has missed its beginning: everything its order ever said. */
  const impulsesOf = async (orderId: string): Promise<Impulse[]> => {
    const { events } = await store.readStream(orderStream(orderId))
    return events.map(decodeEvent).flatMap((event): Impulse[] => {
      const { type } = event
      return type === 'OrderPlaced' || type === 'OrderShipped' || type === 'OrderCancelled'
        ? [{ trigger: event, event }]
        : []
    })
  }

  const save = async ({ state, revision }: Instance): Promise<void> => {
    if (state && revision !== 'none') await tables.save(rowOf(state, revision, clock.now()))
  }

  /** All at once. When a store is away, only after the last has come back: nothing may linger behind a new attempt. */
  const issueAll = async (
    instance: Instance,
    state: Fulfilment,
    steps: readonly FulfilmentStep[],
    context: StepContext,
  ): Promise<StepResult[]> => {
    // Most instances rest again before anybody could see the row.
    const slow = setTimeout(() => void save(instance).catch(() => undefined), slowMs)
    try {
      const settled = await Promise.allSettled(steps.map((step) => issue(state, step, context)))
      return settled.map((each) => {
        if (each.status === 'rejected') throw each.reason
        return each.value
      })
    } finally {
      clearTimeout(slow)
    }
  }

  const alarm = (events: readonly CausedEvent[]): void => {
    for (const { event } of events)
      if (event.type === 'FulfilmentParked')
        logger.error(
          {
            orderId: event.data.orderId,
            step: event.data.step,
            attempts: event.data.attempts,
            error: event.data.error,
          },
          'a fulfilment is parked and waits for an operator',
        )
  }

  return async (orderId: string, triggers: readonly Impulse[], signal?: AbortSignal): Promise<void> => {
    let impulses = triggers
    const [first] = triggers
    const atLeast = triggers.reduce(
      (highest, impulse) => ((impulse.atLeast ?? 0n) > highest ? (impulse.atLeast ?? 0n) : highest),
      0n,
    )
    const fresh = triggers.some((impulse) => impulse.fresh)
    if (fresh) instances.forget(orderId)
    const begins = first?.trigger.type === 'OrderPlaced'
    // An operator's decision may come in one bunch with a repeated beginning: what is in memory may be older than it.
    let instance = begins && atLeast === 0n ? instances.assume(orderId) : await instances.get(orderId, atLeast)
    if (fresh || (!instance.state && !begins)) impulses = [...(await impulsesOf(orderId)), ...triggers]

    for (;;) {
      if (signal?.aborted) throw new Stopped()
      const draft = draftOf(instance)
      const cause = (instance.state ? triggers : impulses).find((impulse) => impulse.event)?.event
      const origin = instance.origin ?? cause?.metadata
      const fallback = cause?.id ?? instance.lastEventId ?? orderId
      for (const { trigger, event } of impulses)
        draft.add(observe(draft.state(), trigger, clock.now(), config), event?.id ?? fallback)
      const state = draft.state()
      if (!state || !origin) {
        logger.warn({ orderId }, 'a fulfilment was triggered for an order that was never placed')
        return
      }
      const { correlationId, traceparent } = origin
      const origins = { correlationId, ...(traceparent === undefined ? {} : { traceparent }) }
      draft.add(conclude(state, clock.now()), fallback)
      const steps = next(state, clock.now())
      const issued = steps.length > 0 && !draft.events.some(({ event }) => firstOnRecord(event))
      if (issued) {
        const causationId = draft.events.length > 0 ? fallback : (instance.lastEventId ?? fallback)
        const results = await issueAll(instance, state, steps, { ...origins, causationId })
        for (const [index, step] of steps.entries()) {
          const [result, current] = [results[index], draft.state()]
          if (result && current)
            draft.add(record(current, step, result, clock.now(), config), commandIdOf(orderId, step))
        }
        const current = draft.state()
        if (current) draft.add(conclude(current, clock.now()), fallback)
      }
      if (draft.events.length === 0) break
      const appended = await instances.append(instance, draft.events, origins)
      if (appended === 'conflict') instance = await instances.get(orderId)
      else {
        alarm(draft.events)
        instance = appended
      }
    }
    await save(instance)
  }
}
