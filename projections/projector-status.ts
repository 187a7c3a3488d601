import type { FeedBatch } from '../platform/event-feed.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import type { Projection } from './projection.ts'
import type { WaitCause } from './verdict.ts'

const least = (positions: Iterable<bigint>): bigint =>
  [...positions].reduce<bigint | undefined>((low, each) => (low === undefined || each < low ? each : low), undefined) ??
  0n
const most = (positions: Iterable<bigint>): bigint =>
  [...positions].reduce((high, each) => (each > high ? each : high), 0n)

/** Positions that a busy projection may lag and still be called live. */
const farBehind = 1_000n
/** A partition hears late of what only others were given: it need not stand at the very head to have caught up. */
const nearEnough = (partition: number): bigint => (partition === 0 ? 0n : 100n)

/** Keeps the status of a projector and its measures in step. */
export const createProjectorStatus = (deps: {
  readonly projection: Projection
  readonly logger: Logger
  readonly metrics: Metrics
}) => {
  const { metrics, logger } = deps
  const { name, version } = deps.projection
  const positions = new Map<number, bigint>()
  const heads = new Map<number, bigint>()
  let parkedEvents = 0
  let state: 'standby' | 'running' | 'waiting' | 'stopped' = 'standby'
  let reason: string | undefined
  let heldBy: WaitCause | undefined
  const caughtUp = new Set<number>()

  const gauge = (partition: number, position: bigint, head: bigint): void => {
    positions.set(partition, position)
    heads.set(partition, head)
    if (head - position > (caughtUp.has(partition) ? farBehind : nearEnough(partition))) caughtUp.delete(partition)
    else caughtUp.add(partition)
    const labels = { projection: name, partition: String(partition) }
    metrics.projectionPosition.set(labels, Number(position))
    metrics.projectionLagEvents.set(labels, Number(head > position ? head - position : 0n))
  }

  const forget = (partitions: readonly number[]): void => {
    for (const partition of partitions) {
      positions.delete(partition)
      heads.delete(partition)
      caughtUp.delete(partition)
      const labels = { projection: name, partition: String(partition) }
      for (const measure of [metrics.projectionPosition, metrics.projectionLagEvents, metrics.projectionLagSeconds])
        measure.remove(labels)
    }
  }

  const held = (cause: WaitCause | undefined): void => {
    if (heldBy !== undefined && heldBy !== cause) metrics.projectionWaiting.set({ projection: name, reason: heldBy }, 0)
    if (cause !== undefined) metrics.projectionWaiting.set({ projection: name, reason: cause }, 1)
    heldBy = cause
  }

  const parked = (events: number, gaps: number): void => {
    parkedEvents = events
    metrics.parkedEvents.set({ projection: name }, events)
    metrics.eventGaps.set({ projection: name }, gaps)
  }

  return {
    parked,
    current: () => {
      const position = least(positions.values())
      const head = most(heads.values())
      const lagEvents = head > position ? head - position : 0n
      return {
        name,
        version,
        state:
          state === 'running'
            ? positions.size === caughtUp.size
              ? ('live' as const)
              : ('catching-up' as const)
            : state,
        position,
        head,
        lagEvents,
        parkedEvents,
        ...(reason === undefined ? {} : { error: reason }),
      }
    },
    standby: (): void => {
      state = 'standby'
      reason = undefined
      held(undefined)
      forget([...positions.keys()])
    },
    /** Others have the rest now, and tell of it. */
    owns: (partitions: readonly number[]): void => {
      forget([...positions.keys()].filter((partition) => !partitions.includes(partition)))
      if (partitions.length === 0) state = 'standby'
    },
    assigned: (partition: number, position: bigint, head: bigint): void => {
      state = 'running'
      reason = undefined
      held(undefined)
      gauge(partition, position, head)
    },
    stepped: (partition: number, position: bigint): void => {
      gauge(partition, position, heads.get(partition) ?? position)
    },
    applied: (batch: FeedBatch, events: number): void => {
      state = 'running'
      reason = undefined
      held(undefined)
      gauge(batch.partition, batch.position, batch.head)
      metrics.projectionEvents.inc({ projection: name }, events)
      const newest = batch.events.at(-1)?.stored
      const seconds = newest && batch.position < batch.head ? (Date.now() - Date.parse(newest.recordedAt)) / 1_000 : 0
      metrics.projectionLagSeconds.set({ projection: name, partition: String(batch.partition) }, Math.max(0, seconds))
    },
    /** Where the log ends, learnt while nothing can be applied. */
    ends: (head: bigint): void => {
      for (const [partition, position] of positions) gauge(partition, position, head)
    },
    /** Undefined: it goes on. */
    waiting: (why: string | undefined, cause: WaitCause = 'failure'): void => {
      if (why === undefined) logger.info({ projection: name }, 'the projection goes on')
      else if (reason !== why) logger.warn({ projection: name, error: why }, 'the projection waits')
      state = why === undefined ? 'running' : 'waiting'
      reason = why
      held(why === undefined ? undefined : cause)
    },
    stopped: (why: string, cause: WaitCause = 'stopped'): void => {
      if (state !== 'stopped' || reason !== why)
        logger.error({ projection: name, error: why }, 'the projection has stopped')
      state = 'stopped'
      reason = why
      held(cause)
    },
  }
}
