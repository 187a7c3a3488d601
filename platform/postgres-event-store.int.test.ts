import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StoredEvent } from '../schemas/envelope.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { openDatabase } from './database.ts'
import { collect, describeEventStore } from './event-store.contract.ts'
import { maxAppendBytes } from './event-store.ts'
import { EngineUnavailable } from './failures.ts'
import { silentLogger } from './logging.ts'
import { migrate } from './migrate.ts'
import { openPostgresEventStore, type PostgresEventStore } from './postgres-event-store.ts'
import { maxPageBytes } from './postgres-event-store-read-page.ts'

const logger = silentLogger

describeEventStore('postgres', async () => {
  const { database, drop } = await openTestDatabase()
  const store = openPostgresEventStore({ database, logger })
  return { store, close: () => store.close().then(drop) }
})

describe('the log in PostgreSQL', () => {
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

  test.each([
    `update log.events set type = 'x'`,
    'delete from log.events',
    'delete from log.events where false',
    'truncate log.events',
    'truncate log.identity, log.events',
    'update log.identity set id = gen_random_uuid()',
    'delete from log.identity',
  ])('refuses its owner: %s', async (statement) => {
    await store.append(newStream(), newEvents(1), 'none')
    await expect(test1.database.query(statement)).rejects.toMatchObject({ code: 'OL001' })
    const replica = test1.database.transaction(async (transaction) => {
      await transaction.query(`select set_config('session_replication_role', 'replica', true)`)
      await transaction.query(statement)
    })
    // Only a superuser may pretend to be a replica; who is none is refused for that.
    await expect(replica).rejects.toThrow(/the log is append-only|permission denied/)
  })

  const ways = [{ bulk: false }, { bulk: true }]

  test.each(ways)(
    'a page in bulk: $bulk, has the JSON of its events, unless one has line breaks by another hand',
    async (way) => {
      const after = await store.head()
      const [first, second] = newEvents(2).map((event, index) => ({ ...event, data: { text: `a,\n${index}` } }))
      if (!first || !second) throw new Error('no events')
      await store.append(newStream(), [first], 'none')
      const page = await store.readAll({ after, limit: 10, withJson: true, ...way })
      expect(page.json).toEqual([{ data: JSON.stringify(first.data), metadata: JSON.stringify(first.metadata) }])
      expect((await store.readAll({ after, limit: 10, ...way })).json).toBeUndefined()

      await test1.database.query(
        `insert into log.events (position, stream, revision, id, type, data, metadata, recorded_at)
       values ($1, $2, 0, $3, $4, $5, $6, now())`,
        [after + 2n, newStream(), second.id, second.type, '{"a":1,\n"b":2}', JSON.stringify(second.metadata)],
      )
      const byHand = await store.readAll({ after, limit: 10, withJson: true, ...way })
      expect(byHand.events.map((event) => event.data)).toEqual([first.data, { a: 1, b: 2 }])
      expect(byHand.json).toBeUndefined()
    },
  )

  test('what the database refuses altogether fails alone', async () => {
    const streams = Array.from({ length: 10 }, () => newStream())
    // Deeper than the stack of the server, not than ours.
    const abyss = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`)
    const results = await Promise.allSettled(
      streams.map((stream, index) => store.append(stream, [newEvent(index === 3 ? abyss : {})], 'none')),
    )
    expect(results.map((result) => result.status)).toEqual(
      streams.map((_, index) => (index === 3 ? 'rejected' : 'fulfilled')),
    )
  })

  test.each(ways.flatMap(({ bulk }) => ['of every type', 'of one type'].map((which) => ({ bulk, which }))))(
    'a page in bulk: $bulk, of events $which is bounded by bytes, and nothing of it is lost or changed',
    async ({ which, bulk }) => {
      const before = await store.head()
      const stream = newStream('quoted"\\, [odd]')
      const type = `test.${newStream('large')}.v1`
      // What parts events from each other in a page is also in them.
      const odd = { text: '"\n\t,]\u2028é'.repeat(70_000), list: [null, 1e-7, [','], {}] }
      for (let n = 0; n < 9; n += 1)
        await store.append(stream, [newEvent(n === 4 ? null : odd, type), newEvent()], 'any')
      const only = which === 'of one type' ? { types: [type] } : {}
      const pages: number[] = []
      const seen: StoredEvent[] = []
      for (let after = before; ; ) {
        const page = await store.readAll({ after, limit: 1_000, bulk, ...only })
        if (page.position === after) break
        pages.push(page.events.reduce((bytes, { data }) => bytes + Buffer.byteLength(JSON.stringify(data)), 0))
        seen.push(...page.events)
        after = page.position
      }
      const { events } = await store.readStream(stream)
      expect(seen).toEqual(events.filter((event) => !only.types || event.type === type))
      expect(pages.length).toBeGreaterThan(1)
      expect(Math.max(...pages)).toBeLessThan(maxPageBytes + maxAppendBytes)
    },
  )

  test('a batch full of conflicts and repeats commits the others', async () => {
    const streams = Array.from({ length: 60 }, () => newStream())
    const first = newEvents(1)
    await Promise.all(
      streams.map((stream, index) => index % 3 && store.append(stream, index % 3 === 1 ? newEvents(2) : first, 'none')),
    )
    const results = await Promise.all(
      streams.map((stream, index) => store.append(stream, index % 3 === 2 ? first : newEvents(2), 'none')),
    )
    expect(results.map((result) => [result.outcome, 'revision' in result ? result.revision : result.actual])).toEqual(
      streams.map((_, index) => [index % 3 === 1 ? 'conflict' : 'appended', index % 3 === 2 ? 0n : 1n]),
    )
  })

  test('a write transaction held open elsewhere stalls no writer and no reader', async () => {
    await test1.database.query('create table public.elsewhere (n integer)')
    const foreign = await test1.database.connect()
    try {
      await foreign.query('begin')
      await foreign.query('insert into public.elsewhere values (1)')
      await foreign.query('select pg_current_xact_id()')
      const before = await store.head()
      const stream = newStream()
      await store.append(stream, newEvents(3), 'none')
      const seen = await collect(store, before, (events) => events.length >= 3)
      expect(seen.map((event) => event.stream)).toEqual([stream, stream, stream])
      await foreign.query('rollback')
    } finally {
      await foreign.end()
    }
  })

  test('position order is commit order, however many processes write', async () => {
    const databases = [1, 2].map(() => openDatabase(test1.url, { max: 4, logger }))
    const writers = databases.map((database) => openPostgresEventStore({ database, logger }))
    const before = await store.head()
    const total = 2 * 32 * 15
    const following = collect(store, before, (events) => events.length >= total)
    const shared = newStream('shared')
    await Promise.all(
      writers.flatMap((writer) =>
        Array.from({ length: 32 }, async (_, index) => {
          for (let round = 0; round < 15; round += 1)
            await writer.append(index === 0 ? shared : newStream(), newEvents(1), 'any')
        }),
      ),
    )
    const seen = await following
    expect(seen.map((event) => event.position)).toEqual(
      Array.from({ length: total }, (_, index) => before + 1n + BigInt(index)),
    )
    const recordedAt = seen.map((event) => event.recordedAt)
    expect(recordedAt).toEqual([...recordedAt].sort())
    expect(seen.filter((event) => event.stream === shared).map((event) => Number(event.revision))).toEqual(
      Array.from({ length: 30 }, (_, index) => index),
    )
    for (const writer of writers) await writer.close()
    for (const database of databases) await database.close()
  })

  test('a subscriber in another process hears of an append without polling', async () => {
    const database = openDatabase(test1.url, { max: 2, logger })
    const other = openPostgresEventStore({ database, logger, pollMs: 3_600_000 })
    const before = await store.head()
    const following = collect(other, before, (events) => events.length >= 20)
    // The notification connection may come up after the first appends; the later ones reach it.
    let ended = false
    void following.then(() => {
      ended = true
    })
    while (!ended) {
      await store.append(newStream(), newEvents(1), 'none')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect((await following).length).toBeGreaterThanOrEqual(20)
    await other.close()
    await database.close()
  })

  test('connections killed again and again cost a repeat, and lose and double nothing', async () => {
    const database = openDatabase(test1.url, { max: 4, logger })
    const fragile = openPostgresEventStore({ database, logger })
    const before = await store.head()
    const total = 16 * 25
    const following = collect(fragile, before, (events) => events.length >= total)
    let written = 0
    let broken = 0
    // One of the writers kills what the other fifteen are in the middle of. Paced by them, or a slow machine gets nowhere.
    const killNowAndThen = async (): Promise<void> => {
      written += 1
      if (written % 10 !== 0) return
      await test1.database
        .query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
        )
        // Two that kill at once may hit one another.
        .catch((error: unknown) => expect(error).toBeInstanceOf(EngineUnavailable))
    }
    const persistently = async (stream: string, expected: 'none' | bigint) => {
      const events = newEvents(1)
      for (;;) {
        try {
          return await fragile.append(stream, events, expected)
        } catch (error) {
          expect(error).toBeInstanceOf(EngineUnavailable)
          broken += 1
        }
      }
    }
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        const stream = newStream()
        for (let round = 0; round < 25; round += 1) {
          const result = await persistently(stream, round === 0 ? 'none' : BigInt(round - 1))
          expect(result).toMatchObject({ outcome: 'appended', revision: BigInt(round) })
          await killNowAndThen()
        }
      }),
    )
    expect(broken).toBeGreaterThan(0)
    const seen = await following
    expect(seen).toHaveLength(total)
    expect(new Set(seen.map((event) => event.id)).size).toBe(total)
    await fragile.close()
    await database.close()
  })

  test('the schema is made once, however many processes start at once', async () => {
    const fresh = await openTestDatabase({ migrated: false })
    await Promise.all([1, 2, 3].map(() => migrate(fresh.url, logger)))
    const rows = await fresh.database.query('select 1 from platform.migrations where name = $1', ['0001_log'])
    expect(rows).toHaveLength(1)
    await fresh.drop()
  })
})
