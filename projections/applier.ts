import type { Database, Queryable } from '../platform/database.ts'
import type { FeedEvent } from '../platform/event-feed.ts'
import type { Logger } from '../platform/logging.ts'
import { pause } from '../platform/pause.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { loadDecisions, noDecisions, noteHonoured } from './decisions.ts'
import { type Failure, loadParkedStreams, ParkedStreamsChanged, parkBehind, parkFailed } from './parking.ts'
import type { Projection } from './projection.ts'
import { type ErrorPolicy, judge, type WaitCause } from './verdict.ts'

/** The projection cannot go on, and why, in one sentence for the operator. */
export class ProjectionStopped extends Error {}

/** So many streams have parked events that one more would be too many. */
export class TooManyParkedStreams extends ProjectionStopped {}

/** Only newer code can read the event at this position; whoever has it may take over meanwhile. */
export class NewerCodeNeeded extends Error {
  readonly partition: number
  readonly position: bigint
  constructor(reason: string, partition: number, position: bigint) {
    super(reason)
    this.partition = partition
    this.position = position
  }
}

/** Names of streams, and how many there are. */
export type ParkedStreams = Pick<Set<string>, 'add' | 'delete' | 'size'>

/** Events of one partition, the checkpoint before and after them. */
interface Stretch {
  readonly events: readonly FeedEvent[]
  readonly to: bigint
}

/** The second half on top of the first: whoever takes the last one first keeps the order. */
const halves = ({ events, to }: Stretch): [Stretch, Stretch] => {
  const middle = events.length >>> 1
  const first = events.slice(0, middle)
  return [
    { events: events.slice(middle), to },
    { events: first, to: first.at(-1)?.stored.position ?? to },
  ]
}

export interface Applier {
  /** Learns what is parked; to be called before the first stretch and after a fence. */
  load(): Promise<void>
  /** Parked events of the projection, as far as this process knows. */
  parkedEvents(): number
  /** Events that the projection goes without, by an operator's decision. */
  gaps(): number
  /** Applies a stretch whole, or up to where it was fenced or aborted. @throws ProjectionStopped, NewerCodeNeeded */
  apply(
    partition: number,
    from: bigint,
    stretch: Stretch,
    signal: AbortSignal,
  ): Promise<'applied' | 'fenced' | 'aborted'>
}

/**
 * Applies stretches of the log so that an event that fails costs its neighbours nothing.
 *
 * A stretch: tried as a whole -> applied | fenced | failed. A failed one is halved, the first half first, each with its
 * own step of the checkpoint, down to the single event at fault. That one is tried a bounded number of times and then
 * parked together with its step of the checkpoint; later events of its stream are parked behind it. What is not the
 * event's fault (an engine that is away, code that is too old) is waited for and parks nothing.
 */
export const createApplier = (deps: {
  readonly projection: Projection
  readonly database: Database
  readonly policy: ErrorPolicy
  readonly logger: Logger
  /** Told every step of a checkpoint, once committed. */
  readonly onStep: (partition: number, position: bigint) => void
  /** Told the reason when it begins to wait, and undefined when it goes on. */
  readonly onWait: (reason: string | undefined, cause?: WaitCause) => void
  /** Events as the log holds them, of such as were read in part; default: they are whole. */
  readonly readWhole?: (events: readonly StoredEvent[]) => Promise<readonly StoredEvent[]>
  /** The streams that have parked events, shared by all who write to the same generation: the ceiling is theirs together. */
  readonly parkedStreams?: ParkedStreams
  /** Throws `NewerCodeNeeded` where it would otherwise wait until the process is replaced. */
  readonly yields?: boolean
}): Applier => {
  const { projection, database, policy, logger, onStep, onWait, parkedStreams = new Set() } = deps
  const { readWhole = async (events: readonly StoredEvent[]) => events } = deps
  const { name, sink } = projection
  let parked = new Map<string, number>()
  let decisions = noDecisions

  const loadParked = async (): Promise<void> => {
    const known = await loadParkedStreams(database, name)
    for (const stream of parked.keys()) parkedStreams.delete(stream)
    for (const stream of known.keys()) parkedStreams.add(stream)
    parked = known
  }

  const attempt = async (partition: number, from: bigint, { events, to }: Stretch): Promise<'applied' | 'fenced'> => {
    if (parked.size === 0 && decisions === noDecisions)
      return sink.apply({ partition, events: events.map((event) => event.recorded()), from, to })
    const free: RecordedEvent[] = []
    const behind: StoredEvent[] = []
    const honoured: StoredEvent[] = []
    // An operator has decided about one event and no other that may have come to stand in its place.
    const concerned = events.map((event) => event.stored).filter(decisions.concern)
    const whole = new Map((await readWhole(concerned)).map((stored, index) => [concerned[index], stored]))
    for (const event of events) {
      const stored = whole.get(event.stored) ?? event.stored
      const decision = whole.has(event.stored) ? decisions.of(stored) : undefined
      if (parked.has(stored.stream) && decision?.do !== 'pass') behind.push(stored)
      else {
        if (decision) honoured.push(stored)
        if (!decision) free.push(event.recorded())
        else if (decision.do === 'replace')
          free.push(decodeEvent({ ...stored, type: decision.type, data: decision.data }))
      }
    }
    if (behind.length === 0 && honoured.length === 0) return sink.apply({ partition, events: free, from, to })
    const waiting = await readWhole(behind)
    const record = async (transaction: Queryable) => {
      if (waiting.length > 0) await parkBehind(transaction, name, partition, waiting)
      if (honoured.length > 0) await noteHonoured(transaction, name, honoured)
    }
    const skipped = behind.map((stored) => stored.position)
    const outcome = await sink.apply({ partition, events: free, from, to, record, skipped })
    if (outcome === 'applied') for (const { stream } of behind) parked.set(stream, (parked.get(stream) ?? 0) + 1)
    return outcome
  }

  const park = async (
    partition: number,
    from: bigint,
    { events: [event], to }: Stretch,
    failure: Failure,
  ): Promise<'applied' | 'fenced'> => {
    if (!event) throw new Error('there is nothing to park')
    const [stored = event.stored] = await readWhole([event.stored])
    // At once: others may be parking at the same time.
    parkedStreams.add(stored.stream)
    if (parkedStreams.size > policy.maxParkedStreams) {
      parkedStreams.delete(stored.stream)
      throw new TooManyParkedStreams(
        `${name} has parked events of ${parkedStreams.size} streams, and ${stored.type} at position ${stored.position} failed too: ${String(failure.error)}`,
      )
    }
    const record = (transaction: Queryable) => parkFailed(transaction, name, partition, stored, failure)
    let outcome: 'applied' | 'fenced' | undefined
    try {
      outcome = await sink.apply({ partition, events: [], from, to, record, skipped: [stored.position] })
    } finally {
      if (outcome !== 'applied') parkedStreams.delete(stored.stream)
    }
    if (outcome === 'fenced') return outcome
    parked.set(stored.stream, 1)
    logger.error(
      { projection: name, stream: stored.stream, position: stored.position.toString(), err: failure.error },
      'an event was parked; later events of its stream wait behind it',
    )
    return outcome
  }

  const applyAll = async (
    partition: number,
    start: bigint,
    whole: Stretch,
    signal: AbortSignal,
  ): Promise<'applied' | 'fenced' | 'aborted'> => {
    const left = [whole]
    let from = start
    let attempts = 0
    let waits = 0
    let condemned: Failure | undefined
    for (let stretch = left.pop(); stretch; stretch = left.pop()) {
      try {
        const outcome = condemned
          ? await park(partition, from, stretch, condemned)
          : await attempt(partition, from, stretch)
        if (outcome === 'fenced') return outcome
        from = stretch.to
        onStep(partition, from)
        if (waits > 0) onWait(undefined)
        attempts = 0
        waits = 0
        condemned = undefined
        continue
      } catch (error) {
        if (error instanceof ProjectionStopped) throw error
        const verdict = judge(error, { events: stretch.events.length, attempts: attempts + 1, waits }, policy)
        // Parking itself must not be what fails; it is not the event's fault either.
        if (condemned && verdict.do !== 'wait') throw error
        switch (verdict.do) {
          case 'halve':
            left.push(...halves(stretch))
            continue
          case 'park':
            condemned = { error, attempts: attempts + 1 }
            break
          case 'retry':
            if (error instanceof ParkedStreamsChanged) await loadParked()
            else attempts += 1
            await pause(verdict.afterMs, signal)
            break
          case 'wait':
            if (verdict.cause === 'newer-event' && deps.yields)
              throw new NewerCodeNeeded(verdict.reason, partition, stretch.events[0]?.stored.position ?? stretch.to)
            onWait(verdict.reason, verdict.cause)
            waits += 1
            await pause(verdict.afterMs, signal)
            break
        }
        left.push(stretch)
      }
      if (signal.aborted) return 'aborted'
    }
    return 'applied'
  }

  return {
    load: async () => {
      await loadParked()
      decisions = await loadDecisions(database, name)
    },
    gaps: () => decisions.gaps,
    parkedEvents: () => [...parked.values()].reduce((sum, events) => sum + events, 0),
    apply: applyAll,
  }
}
