import { decorrelatedJitterGenerator, ExponentialBackoff, handleWhen, retry } from 'cockatiel'
import type { EventStore, StreamHistory } from '../platform/event-store.ts'
import { EngineUnavailable, NeverSent } from '../platform/failures.ts'
import type { SnapshotStore } from '../platform/snapshots.ts'
import { decodeFact } from '../schemas/decoding.ts'
import type { NewEvent, StoredEvent, StoredFact } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { createBoundedCache } from './bounded-cache.ts'
import type { Decider } from './decider.ts'
import type { SnapshotWriter } from './snapshot-writer.ts'

/** A stream as folded up to one of its events. */
export interface Known<State> {
  readonly state: State
  /** -1 for a stream without events. */
  readonly revision: bigint
  readonly position: bigint
  /** Where the newest snapshot that we know of was taken; -1 for none. */
  readonly snapshotRevision: bigint
}

/** The streams of one kind of aggregate: loading, going on from what is known, appending. */
export interface AggregateLog<State> {
  readonly nothing: Known<State>
  /** What was known last, which others may have gone beyond. */
  remembered(stream: string): Known<State> | undefined
  /** From the log: the newest snapshot, if any, and what came after. */
  load(stream: string): Promise<Known<State>>
  /** Reads on from what is known. `commandIds`: of the events that were read. */
  refresh(stream: string, known: Known<State>): Promise<{ known: Known<State>; commandIds: ReadonlySet<string> }>
  /** Appends where `known` ends; `state` is the state after. */
  append(
    stream: string,
    known: Known<State>,
    events: readonly NewEvent[],
    state: State,
  ): Promise<Known<State> | 'conflict'>
  /** The last event of a command, wherever in the stream; no further back than an id that tells its time. */
  lastEventOf(stream: string, commandId: string): Promise<StoredEvent | undefined>
}

const eventsPerSnapshot = 200
const eventsPerPage = 500

/** How far the clocks of processes and of the store may be apart. */
const clockToleranceMs = 10 * 60_000

/** When a command was given its id, in milliseconds since 1970; 0 when the id does not tell. */
const timeOf = (commandId: string): number =>
  commandId[14] === '7' ? Number.parseInt(commandId.slice(0, 8) + commandId.slice(9, 13), 16) : 0

export const createAggregateLog = <Command, State, Event extends DomainEvent>(
  decider: Decider<Command, State, Event>,
  deps: {
    readonly store: EventStore
    readonly snapshots: SnapshotStore
    readonly snapshotWriter: SnapshotWriter
    /** Streams whose state is kept in memory; 0 for none. */
    readonly cachedStreams: number
  },
): AggregateLog<State> => {
  const { store, snapshots, snapshotWriter } = deps
  const form = decider.snapshot
  const cache = createBoundedCache<Known<State>>(deps.cachedStreams)
  const nothing: Known<State> = { state: decider.initial, revision: -1n, position: 0n, snapshotRevision: -1n }
  // Repeating an append is safe: it is recognised by its event ids. One that never had its turn would only queue again.
  const worthRepeating = (error: Error) => error instanceof EngineUnavailable && !(error instanceof NeverSent)
  const persistently = retry(handleWhen(worthRepeating), {
    maxAttempts: 3,
    backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000, generator: decorrelatedJitterGenerator }),
  })

  const keep = (stream: string, known: Known<State>, lastEventId: string | undefined): Known<State> => {
    const gap = BigInt(Math.max(eventsPerSnapshot, form?.weight?.(known.state) ?? 0))
    if (!form || lastEventId === undefined || known.revision - known.snapshotRevision < gap) {
      cache.set(stream, known)
      return known
    }
    const { state, revision } = known
    snapshotWriter.offer({ stream, revision, eventId: lastEventId, shape: form.shape }, () => form.pack(state))
    const snapped = { ...known, snapshotRevision: revision }
    cache.set(stream, snapped)
    return snapped
  }

  const fold = (
    stream: string,
    known: Known<State>,
    events: readonly StoredFact[],
    last: StreamHistory['last'],
  ): Known<State> => {
    if (!last) return keep(stream, known, undefined)
    let { state } = known
    for (const [index, fact] of events.entries()) {
      const event = decodeFact(fact, () => `${known.revision + BigInt(index + 1)} of ${stream}`)
      state = decider.evolve(state, event as Event)
    }
    return keep(stream, { ...known, state, revision: last.revision, position: last.position }, last.id)
  }

  const load = async (stream: string): Promise<Known<State>> => {
    const snapshot = form && (await snapshots.load(stream, form.shape))
    if (form && snapshot) {
      const { events } = await store.readStream(stream, { from: snapshot.revision })
      const [taken, ...later] = events
      if (taken?.id === snapshot.eventId) {
        const { revision } = snapshot
        const state = form.unpack(snapshot.state)
        return fold(
          stream,
          { state, revision, position: taken.position, snapshotRevision: revision },
          later,
          later.at(-1),
        )
      }
    }
    const { events, last } = await store.readHistory(stream)
    return fold(stream, nothing, events, last)
  }

  return {
    nothing,
    load,
    remembered: (stream) => cache.get(stream),
    refresh: async (stream, known) => {
      const { events } =
        known.revision < 0n
          ? await store.readStream(stream)
          : await store.readStream(stream, { from: known.revision + 1n })
      const commandIds = new Set(events.map((event) => event.metadata.commandId))
      return { known: fold(stream, known, events, events.at(-1)), commandIds }
    },
    append: async (stream, known, events, state) => {
      try {
        const expected = known.revision < 0n ? 'none' : known.revision
        const result = await persistently.execute(() => store.append(stream, events, expected))
        if (result.outcome === 'conflict') return 'conflict'
        const { revision, position } = result
        return keep(stream, { ...known, state, revision, position }, events.at(-1)?.id)
      } catch (error) {
        cache.delete(stream)
        throw error
      }
    },
    lastEventOf: async (stream, commandId) => {
      const givenAt = timeOf(commandId) - clockToleranceMs
      let from: bigint | undefined
      for (;;) {
        const { events } = await store.readStream(stream, {
          direction: 'backwards',
          limit: eventsPerPage,
          ...(from === undefined ? {} : { from }),
        })
        const found = events.find((event) => event.metadata.commandId === commandId)
        const oldest = events.at(-1)
        if (found || !oldest || oldest.revision === 0n || Date.parse(oldest.recordedAt) < givenAt) return found
        from = oldest.revision - 1n
      }
    },
  }
}
