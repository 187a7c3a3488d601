import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { putBack } from '../test/support/put-back.ts'
import { openDatabase } from './database.ts'
import { createCheckpoints, describeEventFeed } from './event-feed.contract.ts'
import type { FeedEvent } from './event-feed.ts'
import type { EventStore } from './event-store.ts'
import { LogWentBack } from './failures.ts'
import { openLeases } from './leases.ts'
import { createLogEventFeed } from './log-event-feed.ts'
import { partitionLogFeed } from './log-event-feed-partitions.ts'
import { silentLogger } from './logging.ts'
import { createPartitioning } from './partitioning.ts'
import { openPostgresEventStore, type PostgresEventStore } from './postgres-event-store.ts'

const logger = silentLogger

const decode = (stored: StoredEvent): RecordedEvent => {
  if (stored.type.startsWith('unreadable')) throw new Error(`unreadable: ${stored.type}`)
  return { ...stored } as unknown as RecordedEvent
}

/** A process' worth: its own pool, store, leases and feed. */
const openMember = async (url: string, tailCapacity?: number) => {
  const database = openDatabase(url, { max: 4, logger })
  const store = openPostgresEventStore({ database, logger })
  const leases = openLeases({ database, logger, retryMs: 20 })
  const feed = createLogEventFeed({ store, leases, decode, logger, ...(tailCapacity ? { tailCapacity } : {}) })
  return {
    feed,
    store,
    leases,
    close: async () => {
      feed.close()
      await leases.close()
      await store.close()
      await database.close()
    },
  }
}

describeEventFeed('log on postgres', async () => {
  const { database, url, drop } = await openTestDatabase()
  const store = openPostgresEventStore({ database, logger })
  return { store, openMember: () => openMember(url), close: () => store.close().then(drop) }
})

describeEventFeed('log on postgres, in partitions', async () => {
  const { database, url, drop } = await openTestDatabase()
  const store = openPostgresEventStore({ database, logger })
  const openPartitioned = async () => {
    const member = await openMember(url)
    return { ...member, feed: partitionLogFeed(member.feed, createPartitioning(3)) }
  }
  return { store, openMember: openPartitioned, close: () => store.close().then(drop) }
})

describe('the log feed', () => {
  let test1: TestDatabase
  let store: PostgresEventStore
  beforeAll(async () => {
    test1 = await openTestDatabase()
    store = openPostgresEventStore({ database: test1.database, logger })
  })
  afterAll(async () => {
    await store.close()
    await test1.drop()
  })

  test('a consumer far behind is told what is read ahead in pieces, and then given those very events in whole batches', async () => {
    const after = await store.head()
    const appended = await store.append(newStream('ahead'), newEvents(1_300), 'none')
    const head = appended.outcome === 'appended' ? appended.position : 0n
    const member = await openMember(test1.url)
    const stop = new AbortController()
    const told: FeedEvent[] = []
    const batches: (readonly FeedEvent[])[] = []
    for await (const batch of member.feed.consume(`group-${randomUUID()}`, {
      checkpoint: async () => after,
      batchSize: 600,
      ahead: (events) => told.push(...events),
      signal: stop.signal,
    })) {
      batches.push(batch.events)
      if (batch.position >= head) stop.abort()
    }
    expect(batches.map((events) => events.length)).toEqual([600, 600, 100])
    const later = batches.slice(1).flat()
    expect(told).toHaveLength(later.length)
    expect(told.every((event, index) => event === later[index])).toBe(true)
    await member.close()
  })

  test('consumers slower than a tiny tail fall behind it, read for themselves and miss nothing', async () => {
    const member = await openMember(test1.url, 3)
    const after = await store.head()
    const category = newStream('slow')
    const total = 400
    const stop = new AbortController()
    const seen: bigint[] = []
    const consuming = (async () => {
      for await (const batch of member.feed.consume(`group-${randomUUID()}`, {
        checkpoint: async () => after,
        batchSize: 9,
        signal: stop.signal,
      })) {
        seen.push(...batch.events.map((event) => event.stored.position))
        if (seen.length % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
        if (seen.length >= total) stop.abort()
      }
    })()
    for (let index = 0; index < total; index += 4) await store.append(category, newEvents(4), 'any')
    await consuming
    expect(seen).toEqual(Array.from({ length: total }, (_, index) => after + 1n + BigInt(index)))
    await member.close()
  })

  test('consumers at the tail share one decoded event', async () => {
    const member = await openMember(test1.url)
    const after = await store.head()
    const stream = newStream()
    await store.append(stream, [newEvent()], 'none')
    const stop = new AbortController()
    const followers = [1, 2].map(() => member.feed.follow({ after, signal: stop.signal })[Symbol.asyncIterator]())
    // Whoever was given the first has met the tail; the second reaches both from there.
    await Promise.all(followers.map((follower) => follower.next()))
    await store.append(stream, [newEvent()], 0n)
    const [one, other] = await Promise.all(followers.map((follower) => follower.next()))
    const recorded = one?.value?.events[0]?.recorded()
    expect(recorded).toMatchObject({ stream, revision: 1n })
    expect(other?.value?.events[0]?.recorded()).toBe(recorded)
    stop.abort()
    await member.close()
  })

  test('a start that failed once does not end the feed', async () => {
    let failures = 1
    const failing: EventStore = {
      ...store,
      head: async () => {
        if (failures-- > 0) throw new Error('out of the ordinary')
        return store.head()
      },
    }
    const leases = openLeases({ database: test1.database, logger })
    const feed = createLogEventFeed({ store: failing, leases, decode, logger })
    const stop = new AbortController()
    const after = await store.head()
    const follow = () => feed.follow({ after, signal: stop.signal })[Symbol.asyncIterator]()
    await expect(follow().next()).rejects.toThrow('out of the ordinary')
    const next = follow().next()
    await store.append(newStream(), newEvents(1), 'none')
    expect((await next).value?.position).toBe(after + 1n)
    stop.abort()
    feed.close()
    await leases.close()
  })

  test('whoever comes anew after the log was put back is given nothing that never happened', async () => {
    const own = await openTestDatabase()
    const log = openPostgresEventStore({ database: own.database, logger, pollMs: 3_600_000 })
    const leases = openLeases({ database: own.database, logger })
    const feed = createLogEventFeed({ store: log, leases, decode, logger })
    const stop = new AbortController()
    const follow = (after: bigint) => feed.follow({ after, signal: stop.signal })[Symbol.asyncIterator]()
    const before = follow(0n)
    const first = before.next()
    await log.append(newStream(), newEvents(3), 'none')
    expect((await first).value?.position).toBe(3n)
    await putBack(own.database, 2n)
    // The tail itself has not looked yet: it sleeps until the next poll or hint.
    await expect(follow(2n).next()).rejects.toThrow(LogWentBack)
    await expect(before.next()).rejects.toThrow(LogWentBack)
    stop.abort()
    feed.close()
    await leases.close()
    await log.close()
    await own.drop()
  })

  test('a lost lease sends its consumer back to the stored checkpoint', async () => {
    const member = await openMember(test1.url)
    const start = await store.head()
    const checkpoints = createCheckpoints(start)
    const stop = new AbortController()
    let asked = 0
    const seen: bigint[] = []
    for (let index = 0; index < 5; index += 1) await store.append(newStream(), newEvents(1), 'none')
    for await (const batch of member.feed.consume('lost', {
      checkpoint: (partition) => {
        asked += 1
        return checkpoints.load(partition)
      },
      batchSize: 1,
      signal: stop.signal,
    })) {
      seen.push(...batch.events.map((event) => event.stored.position))
      if (seen.length === 3) {
        // The third is handled but not stored: it comes again.
        await test1.database.query(
          `select pg_terminate_backend(l.pid) from pg_locks l
           where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
             and l.objsubid = 1 and l.granted and l.classid <> 0`,
        )
        await store.append(newStream(), newEvents(1), 'none')
        const deadline = new AbortController()
        await member.leases.acquire('lost elsewhere', deadline.signal).then((lease) => lease?.release())
      } else checkpoints.store(batch)
      if (seen.length === 7) stop.abort()
    }
    expect(asked).toBe(2)
    expect(seen.map((position) => Number(position - start))).toEqual([1, 2, 3, 3, 4, 5, 6])
    await member.close()
  })
})

describe('leases', () => {
  test('one name has one holder, here and elsewhere; other names are free', async () => {
    const { database, drop } = await openTestDatabase()
    const here = openLeases({ database, logger, retryMs: 5 })
    const elsewhere = openLeases({ database, logger, retryMs: 5 })
    const { signal } = new AbortController()
    const held = new Map<string, number>()
    await Promise.all(
      [here, here, elsewhere, elsewhere].flatMap((leases) =>
        ['a', 'b'].map(async (name) => {
          for (let round = 0; round < 5; round += 1) {
            const lease = await leases.acquire(name, signal)
            held.set(name, (held.get(name) ?? 0) + 1)
            expect(held.get(name)).toBe(1)
            await new Promise((resolve) => setImmediate(resolve))
            held.set(name, 0)
            await lease?.release()
          }
        }),
      ),
    )
    await Promise.all([here.close(), elsewhere.close()])
    await drop()
  })

  test('a process that ends leaves its leases to others, and whoever gives up waiting holds nothing', async () => {
    const { database, drop } = await openTestDatabase()
    const [dying, heir] = [1, 2].map(() => openLeases({ database, logger, retryMs: 5 }))
    const never = new AbortController().signal
    const lease = await dying?.acquire('throne', never)
    const impatient = new AbortController()
    const waiting = heir?.acquire('throne', impatient.signal)
    impatient.abort()
    expect(await waiting).toBeUndefined()
    const inheriting = heir?.acquire('throne', never)
    await dying?.close()
    expect(lease?.lost.aborted).toBe(true)
    expect((await inheriting)?.lost.aborted).toBe(false)
    await heir?.close()
    await drop()
  })
})
