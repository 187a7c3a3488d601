import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import type { EventFeed, FeedBatch, FeedEvent } from './event-feed.ts'
import type { EventStore } from './event-store.ts'

/** What a consumer has to keep: where it stands, per partition, stored after each batch as a sink would. */
export const createCheckpoints = (start: bigint) => {
  const stored = new Map<number, bigint>()
  return {
    load: async (partition: number) => stored.get(partition) ?? start,
    /** As a sink does: a late writer, whose position is behind, is fenced off. */
    store: ({ partition, position }: FeedBatch) => {
      if (position > (stored.get(partition) ?? start)) stored.set(partition, position)
    },
  }
}

/**
 * What every event feed has to do. `openMember` gives a feed as another process would have it: over the same log, sharing
 * nothing else. The log may hold other events; streams are new in every test.
 */
export const describeEventFeed = (
  name: string,
  open: () => Promise<{
    store: EventStore
    openMember(): Promise<{ feed: EventFeed; close(): Promise<void> }>
    close(): Promise<void>
  }>,
): void => {
  describe(`event feed: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>
    let first: Awaited<ReturnType<typeof opened.openMember>>
    let second: Awaited<ReturnType<typeof opened.openMember>>
    let store: EventStore

    beforeAll(async () => {
      opened = await open()
      store = opened.store
      first = await opened.openMember()
      second = await opened.openMember()
    })
    afterAll(async () => {
      await first.close()
      await second.close()
      await opened.close()
    })

    const write = async (category: string, count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1)
        await store.append(`${category}-${index % 5}`, [newEvent({ index })], 'any')
    }

    /** Runs a batch loop until enough events of the category came by; what came by. */
    const take = async (batches: AsyncIterable<FeedBatch>, stop: AbortController, category: string, count: number) => {
      const seen: FeedEvent[] = []
      for await (const batch of batches) {
        seen.push(...batch.events.filter((event) => event.stored.stream.startsWith(category)))
        if (seen.length >= count) stop.abort()
      }
      return seen
    }

    const expectInOrder = (events: readonly FeedEvent[], count: number) => {
      const perStream = new Map<string, bigint[]>()
      for (const { stored } of events)
        perStream.set(stored.stream, [...(perStream.get(stored.stream) ?? []), stored.revision])
      for (const revisions of perStream.values())
        expect(revisions).toEqual(Array.from({ length: revisions.length }, (_, index) => BigInt(index)))
      expect(events).toHaveLength(count)
    }

    test('an observer sees everything after its position, past and live, without a gap at the seam', async () => {
      const after = await store.head()
      const category = newStream('observed')
      await write(category, 100)
      const stop = new AbortController()
      const following = take(first.feed.follow({ after, signal: stop.signal }), stop, category, 200)
      await write(category, 100)
      expectInOrder(await following, 200)
    })

    test('every observer sees everything', async () => {
      const after = await store.head()
      const category = newStream('observed')
      const following = [first, first, second].map(({ feed }) => {
        const stop = new AbortController()
        return take(feed.follow({ after, signal: stop.signal }), stop, category, 50)
      })
      await write(category, 50)
      for (const seen of await Promise.all(following)) expectInOrder(seen, 50)
    })

    test('a consumer goes on from its checkpoint', async () => {
      const group = `group-${randomUUID()}`
      const category = newStream('consumed')
      const checkpoints = createCheckpoints(await store.head())
      const seen: FeedEvent[] = []
      for (let round = 1; round <= 3; round += 1) {
        await write(category, 20)
        const stop = new AbortController()
        for await (const batch of first.feed.consume(group, {
          checkpoint: checkpoints.load,
          batchSize: 7,
          signal: stop.signal,
        })) {
          expect(batch.events.length).toBeLessThanOrEqual(7)
          expect(batch.head).toBeGreaterThanOrEqual(batch.position)
          seen.push(...batch.events.filter((event) => event.stored.stream.startsWith(category)))
          checkpoints.store(batch)
          if (seen.length >= 20 * round) break
        }
        stop.abort()
      }
      expectInOrder(seen, 60)
    })

    test('a consumer is given the types it wants, and its position passes over the others', async () => {
      const checkpoints = createCheckpoints(await store.head())
      const wanted = `test.${newStream('wanted')}.v1`
      const stream = newStream()
      await store.append(stream, [newEvent(), newEvent({ n: 1 }, wanted), newEvent()], 'none')
      const stop = new AbortController()
      const seen: FeedEvent[] = []
      const batches = first.feed.consume(`group-${randomUUID()}`, {
        checkpoint: checkpoints.load,
        types: [wanted],
        signal: stop.signal,
      })
      let last = 0n
      for await (const batch of batches) {
        const mine = batch.events.filter((event) => event.stored.type === wanted)
        seen.push(...mine)
        checkpoints.store(batch)
        if (mine.length > 0 && seen.length < 3) {
          const result = await store.append(stream, [newEvent({ n: seen.length + 1 }, wanted), newEvent()], 'any')
          if (result.outcome === 'appended') last = result.position
        }
        if (seen.length === 3 && batch.head >= last) stop.abort()
      }
      expect(seen.map((event) => event.stored.data)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
    })

    test('two members of a group never work on one stream at a time, and one takes over when the other goes', async () => {
      const group = `group-${randomUUID()}`
      const category = newStream('shared')
      const checkpoints = createCheckpoints(await store.head())
      const total = 60
      const handled = new Set<string>()
      const busy = new Set<string>()
      const stops = [new AbortController(), new AbortController()]
      const runs = [first, second].map(async ({ feed }, member) => {
        const stop = stops[member] ?? new AbortController()
        for await (const batch of feed.consume(group, {
          checkpoint: checkpoints.load,
          batchSize: 5,
          signal: stop.signal,
        })) {
          const streams = new Set(batch.events.map((event) => event.stored.stream))
          for (const stream of streams) expect(busy.has(stream)).toBe(false)
          for (const stream of streams) busy.add(stream)
          await new Promise((resolve) => setImmediate(resolve))
          for (const event of batch.events) if (event.stored.stream.startsWith(category)) handled.add(event.stored.id)
          checkpoints.store(batch)
          for (const stream of streams) busy.delete(stream)
          // Whoever got there first leaves half-way, after its checkpoint.
          if (handled.size >= total / 2 && !stops.some((each) => each.signal.aborted)) stop.abort()
          if (handled.size >= total) for (const each of stops) each.abort()
        }
      })
      await write(category, total)
      await Promise.all(runs)
      expect(handled.size).toBe(total)
    })

    test('groups do not share: each is given everything', async () => {
      const after = await store.head()
      const category = newStream('grouped')
      const consuming = [1, 2, 3].map(() => {
        const stop = new AbortController()
        const options = { checkpoint: async () => after, signal: stop.signal }
        return take(first.feed.consume(`group-${randomUUID()}`, options), stop, category, 30)
      })
      await write(category, 30)
      for (const seen of await Promise.all(consuming)) expectInOrder(seen, 30)
    })

    test('an event that cannot be read throws when it is read, and holds up nothing', async () => {
      const after = await store.head()
      const category = newStream('unreadable')
      await store.append(`${category}-1`, [newEvent({}, 'unreadable.v1'), ...newEvents(2)], 'none')
      const stop = new AbortController()
      const seen = await take(first.feed.follow({ after, signal: stop.signal }), stop, category, 3)
      expect(() => seen[0]?.recorded()).toThrow('unreadable')
      expect(seen[1]?.recorded()).toMatchObject({ stream: `${category}-1`, revision: 1n })
      expect(seen[1]?.recorded()).toBe(seen[1]?.recorded())
    })

    test('consumers and observers end when their signal aborts, also while they wait', async () => {
      const head = await store.head()
      const stop = new AbortController()
      const group = `group-${randomUUID()}`
      const options = { checkpoint: async () => head, signal: stop.signal }
      const waiting = [
        first.feed.follow({ after: head, signal: stop.signal }),
        first.feed.consume(group, options),
        second.feed.consume(group, options),
      ].map((batches) => batches[Symbol.asyncIterator]().next())
      stop.abort()
      for (const { done } of await Promise.all(waiting)) expect(done).toBe(true)
    })

    test('it knows the head of the log', async () => {
      const result = await store.append(newStream(), newEvents(1), 'none')
      expect(await first.feed.head()).toBeGreaterThanOrEqual(result.outcome === 'appended' ? result.position : 0n)
    })
  })
}
