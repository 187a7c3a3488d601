import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EventFeed, FeedBatch } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { type LiveEvent, toLiveEvent } from './live-event.ts'

/** What a subscription listens to: `orders`, `order:<id>` or `customer:<id>`. */
export type Topic = 'orders' | `order:${string}` | `customer:${string}`
export type Listener = (event: LiveEvent) => void

/** Hands every new event of an order to those who listen for it, in log order. */
export interface LiveHub {
  /**
   * Begins to listen. Every event after the returned position will be delivered; every event up to it is in the log.
   * Waits for the engine when it is away.
   */
  join(topic: Topic, listener: Listener): Promise<bigint>
  leave(topic: Topic, listener: Listener): void
  /** How far the log has been followed; 0n before anybody joined. */
  position(): bigint
}

/**
 * One follower of the log for the whole process. States: idle until somebody joins -> finding the head -> following,
 * again from where it stood whenever that breaks off -> ended with the signal.
 */
export const createLiveHub = (deps: {
  readonly feed: Pick<EventFeed, 'follow'>
  readonly store: Pick<EventStore, 'head'>
  readonly logger: Logger
  readonly signal: AbortSignal
}): LiveHub => {
  const { feed, store, logger, signal } = deps
  const listeners = new Map<Topic, Set<Listener>>()
  let position: bigint | undefined
  let started: Promise<void> | undefined

  const deliver = (topic: Topic, event: LiveEvent): void => {
    const set = listeners.get(topic)
    if (set) for (const listener of set) listener(event)
  }

  const dispatch = (batch: FeedBatch): void => {
    if (listeners.size > 0)
      for (const carried of batch.events) {
        const event = toLiveEvent(carried.stored, () => carried.recorded())
        if (!event) continue
        deliver(`order:${event.orderId}`, event)
        if (event.customerId !== undefined) deliver(`customer:${event.customerId}`, event)
        deliver('orders', event)
      }
    position = batch.position
  }

  const follow = async (after: bigint): Promise<void> => {
    for await (const batch of feed.follow({ after, signal })) {
      dispatch(batch)
      // Sockets must get to write between two batches, or a fast reader would look slow.
      await nextTurn()
    }
  }

  const start = async (): Promise<void> => {
    for (let attempt = 0; position === undefined && !signal.aborted; attempt += 1) {
      try {
        position = await store.head()
      } catch (error) {
        if (attempt === 0) logger.warn({ error: String(error) }, 'the live feed waits for the event store')
        await pause(backOffMs(attempt), signal)
      }
    }
    void keepFollowing()
  }

  const keepFollowing = async (): Promise<void> => {
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      await follow(position ?? 0n).catch((error: unknown) => {
        logger.error({ err: error }, 'the live feed broke off; it goes on from where it stood')
      })
      await pause(backOffMs(attempt), signal)
    }
  }

  return {
    join: async (topic, listener) => {
      started ??= start()
      await started
      const set = listeners.get(topic) ?? new Set()
      listeners.set(topic, set.add(listener))
      return position ?? 0n
    },
    leave: (topic, listener) => {
      const set = listeners.get(topic)
      set?.delete(listener)
      if (set?.size === 0) listeners.delete(topic)
    },
    position: () => position ?? 0n,
  }
}
