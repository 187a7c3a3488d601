import { v5, v7 } from 'uuid'
import type { EventStore } from '../platform/event-store.ts'
import { encodeEvent } from '../schemas/codec.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { EventMetadata } from '../schemas/envelope.ts'
import type { FulfilmentEvent } from '../schemas/fulfilment.ts'
import { fulfilmentStream } from '../schemas/streams.ts'
import { evolve, type Fulfilment } from './fulfilment.ts'
import { actor } from './issue-step.ts'

/** An instance at a known revision of its stream. */
export interface Instance {
  readonly orderId: string
  readonly state: Fulfilment | null
  readonly revision: bigint | 'none'
  /** Of the order's placing; shared by everything that follows from it. Undefined until the instance has begun. */
  readonly origin: Pick<EventMetadata, 'correlationId' | 'traceparent'> | undefined
  /** The last event of the stream: what the next step follows from. */
  readonly lastEventId: string | undefined
}

export interface CausedEvent {
  readonly event: FulfilmentEvent
  readonly causationId: string
}

/** The instances of this process: in memory at a known revision; what is not there is read from the log. */
export interface Instances {
  /** From memory if it is there and not older than `atLeast`, otherwise from the log. */
  get(orderId: string, atLeast?: bigint): Promise<Instance>
  /** From memory; otherwise assumed not to have begun, which its first append then proves or refutes. */
  assume(orderId: string): Instance
  /** Appends; `conflict` when somebody else did meanwhile: the instance is then forgotten, to be read anew. */
  append(
    instance: Instance,
    events: readonly CausedEvent[],
    origin: NonNullable<Instance['origin']>,
    actorOfEvents?: string,
  ): Promise<Instance | 'conflict'>
  forget(orderId: string): void
}

/** @param deps.capacity instances kept in memory at most; ended ones are not kept */
export const createInstances = (deps: { readonly store: EventStore; readonly capacity: number }): Instances => {
  const { store, capacity } = deps
  const known = new Map<string, Instance>()

  const keep = (instance: Instance): Instance => {
    known.delete(instance.orderId)
    if (instance.state?.ended || instance.revision === 'none') return instance
    known.set(instance.orderId, instance)
    if (known.size > capacity) {
      const [oldest] = known.keys()
      if (oldest !== undefined) known.delete(oldest)
    }
    return instance
  }

  const nothing = (orderId: string): Instance => ({
    orderId,
    state: null,
    revision: 'none',
    origin: undefined,
    lastEventId: undefined,
  })

  const load = async (orderId: string): Promise<Instance> => {
    const { events } = await store.readStream(fulfilmentStream(orderId))
    const [first, last] = [events[0], events.at(-1)]
    if (!first || !last) return nothing(orderId)
    const { correlationId, traceparent } = first.metadata
    return keep({
      orderId,
      state: events.reduce<Fulfilment | null>(
        (state, stored) => evolve(state, decodeEvent(stored) as FulfilmentEvent),
        null,
      ),
      revision: last.revision,
      origin: { correlationId, ...(traceparent === undefined ? {} : { traceparent }) },
      lastEventId: last.id,
    })
  }

  return {
    get: async (orderId, atLeast = 0n) => {
      const instance = known.get(orderId)
      return instance && instance.revision !== 'none' && instance.revision >= atLeast ? instance : load(orderId)
    },
    assume: (orderId) => known.get(orderId) ?? nothing(orderId),
    append: async (instance, caused, origin, actorOfEvents = actor) => {
      // Never the same id twice: of two workers that record the same outcome one must meet a conflict.
      const commandId = v7()
      const events = caused.map(({ event, causationId }, index) => ({
        id: v5(String(index), commandId),
        ...encodeEvent(event),
        metadata: { commandId, causationId, actor: actorOfEvents, ...origin },
      }))
      try {
        const result = await store.append(fulfilmentStream(instance.orderId), events, instance.revision)
        if (result.outcome === 'conflict') {
          known.delete(instance.orderId)
          return 'conflict'
        }
        return keep({
          orderId: instance.orderId,
          state: caused.reduce<Fulfilment | null>((state, { event }) => evolve(state, event), instance.state),
          revision: result.revision,
          origin,
          lastEventId: events.at(-1)?.id,
        })
      } catch (error) {
        // Whether it was written is not known.
        known.delete(instance.orderId)
        throw error
      }
    },
    forget: (orderId) => {
      known.delete(orderId)
    },
  }
}
