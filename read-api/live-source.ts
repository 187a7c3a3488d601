import { decodeEvent } from '../schemas/decoding.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { orderStream } from '../schemas/streams.ts'
import type { LiveDependencies } from './dependencies.ts'
import { type LiveEvent, toLiveEvent } from './live-event.ts'
import type { Topic } from './live-hub.ts'
import { orderFrom } from './order-history.ts'

/** Members that a channel adds to its snapshot message. */
export type SnapshotBody = { readonly channel: string; readonly [member: string]: unknown }

/**
 * Where a channel's past comes from. A place is what its cursors count: revisions of one stream, or positions of the log.
 */
export interface LiveSource {
  readonly topic: Topic
  placeOf(event: LiveEvent): bigint
  /** The state before the events after `place`. */
  snapshot(): Promise<{ readonly place: bigint; readonly body: SnapshotBody }>
  /**
   * Events after a place, oldest first. `done` when nothing up to the position `joined` can be left.
   *
   * @throws CommandRejected `in-the-future` when the place has not been reached by the log
   */
  page(
    after: bigint,
    joined: bigint,
  ): Promise<{ readonly events: readonly LiveEvent[]; readonly place: bigint; readonly done: boolean }>
}

/** Events of one page at most. */
export const pageSize = 500

export const toLiveEvents = (events: readonly StoredEvent[]): LiveEvent[] =>
  events.map((stored) => toLiveEvent(stored, decodeEvent)).filter((event) => event !== undefined)

/** One order, from its own stream: places are revisions, -1 before the first. */
export const orderSource = (deps: Pick<LiveDependencies, 'store' | 'vault'>, orderId: string): LiveSource => {
  const stream = orderStream(orderId)
  return {
    topic: `order:${orderId}`,
    placeOf: (event) => event.revision,
    snapshot: async () => {
      const { events } = await deps.store.readStream(stream)
      const order = (await orderFrom(events, deps.vault)) ?? null
      return { place: events.at(-1)?.revision ?? -1n, body: { channel: 'order', order } }
    },
    page: async (after) => {
      const { revision, events } = await deps.store.readStream(stream, { from: after + 1n, limit: pageSize })
      const last = revision === 'none' ? -1n : revision
      if (after > last) throw new CommandRejected('in-the-future', { detail: `the order is at revision ${last}` })
      return {
        events: toLiveEvents(events),
        place: events.at(-1)?.revision ?? after,
        done: events.length < pageSize,
      }
    },
  }
}
