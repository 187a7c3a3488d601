import { holdsEvent } from '../platform/log-continuity.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { type Instant, isAfter, type Patience, parseAsOf, patienceOf, refuseFuture } from './as-of.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { createStreamStates, type StreamState } from './stream-states.ts'

/** How a stream becomes a state that JSON can express. */
export interface StreamFold<State> {
  /** What the answers are about, for the metric. */
  readonly of: 'order' | 'stock'
  /** Changes with the form of the state or the meaning of an event: what another shape has kept is not used. */
  readonly shape: number
  /** Undefined before there is anything to show. */
  readonly evolve: (state: State | undefined, event: RecordedEvent) => State | undefined
}

export interface StreamThen<State> {
  /** Undefined when there was nothing by then. */
  readonly state: State | undefined
  readonly revision: bigint
  /** Whether the stream exists today. */
  readonly exists: boolean
}

type Dependencies = Pick<ReadApiDependencies, 'store' | 'database' | 'clock' | 'metrics'>

/** A state is kept after so many events, and no question folds more of them beyond one. */
export const eventsPerState = 1_000

/**
 * Answers what a stream was at an instant, from the log: the last state kept before it, and the events since. A stream that
 * was never asked about is folded in pages, and the states on the way are kept.
 *
 * @param interval events per state kept; default `eventsPerState`
 */
export const createStreamHistory = <State>(
  deps: Dependencies,
  fold: StreamFold<State>,
  interval: number = eventsPerState,
) => {
  const { store, metrics } = deps
  const states = createStreamStates(deps.database)

  /** A state is believed as long as the log has the event that it ends with: it may have been put back since. */
  const keptState = async (stream: string, instant: Instant): Promise<StreamState<State> | undefined> => {
    const kept = await states.latest<State>(stream, fold.shape, instant)
    if (!kept || (await holdsEvent(store, { ...kept, stream, id: kept.eventId }))) return kept
    await states.forget(stream)
    return undefined
  }

  const advance = (last: StreamState<State> | undefined, event: RecordedEvent): StreamState<State> | undefined => {
    const state = fold.evolve(last?.state, event)
    if (state === undefined) return undefined
    const { revision, position, id: eventId } = event
    const recordedAt = last && last.recordedAt > event.recordedAt ? last.recordedAt : event.recordedAt
    return { state, revision, position, eventId, recordedAt }
  }

  const foldUntil = async (stream: string, instant: Instant, patience: Patience): Promise<StreamThen<State>> => {
    let last = await keptState(stream, instant)
    let folded = 0
    for (let from = last ? last.revision + 1n : 0n; ; from += BigInt(interval)) {
      const { revision, events } = await store.readStream(stream, { from, limit: interval })
      if (instant.by === 'revision' && revision !== 'none' && instant.revision > revision)
        throw new CommandRejected('in-the-future', { asOf: `${instant.revision}`, revision: `${revision}` })
      const end = events.findIndex((event) => isAfter(event, instant))
      const until = end < 0 ? events : events.slice(0, end)
      const kept: StreamState<State>[] = []
      for (const event of until) {
        last = advance(last, decodeEvent(event))
        if (last && (last.revision + 1n) % BigInt(interval) === 0n) kept.push(last)
      }
      folded += until.length
      await states.keep(stream, fold.shape, kept)
      if (until.length < interval) {
        metrics.asOfEvents.labels(fold.of).observe(folded)
        return { state: last?.state, revision: last?.revision ?? -1n, exists: revision !== 'none' }
      }
      if (patience.isOver()) throw new CommandRejected('history-in-preparation', { foldedUpTo: `${last?.revision}` })
    }
  }

  return {
    /**
     * @param asOf see the schema `AsOf`
     * @param waitMs how long it may take when much of the stream was never folded, milliseconds
     * @throws CommandRejected `in-the-future`; `history-in-preparation` when it took longer
     */
    asOf: async (stream: string, asOf: string, waitMs?: number): Promise<StreamThen<State>> => {
      const instant = parseAsOf(asOf)
      await refuseFuture(deps, instant, asOf)
      return foldUntil(stream, instant, patienceOf(waitMs))
    },
  }
}
