import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../platform/clock.ts'
import type { EventStore } from '../platform/event-store.ts'
import { boards, bucketOf } from '../platform/leaderboard-store.ts'
import { silentLogger } from '../platform/logging.ts'
import { openPostgresEventStore } from '../platform/postgres-event-store.ts'
import { encodeEvent } from '../schemas/codec.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import type { RecordedEvent } from '../schemas/envelope.ts'
import type { DomainEvent } from '../schemas/events.ts'
import { orderStream } from '../schemas/streams.ts'
import { openEventStoreDbRig } from '../test/support/eventstoredb-rig.ts'
import { confirmationsAndCancellations, naiveBoards } from '../test/support/leaderboard-events.ts'
import { newEvent } from '../test/support/new-event.ts'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { putBack } from '../test/support/put-back.ts'
import { type BoardsThen, createBoardHistory } from './board-history.ts'

/** The whole log, as it is now. */
const wholeLog = async (store: EventStore): Promise<RecordedEvent[]> => {
  const events: RecordedEvent[] = []
  for (let after = 0n; ; ) {
    const page = await store.readAll({ after, limit: 500 })
    if (page.position === after) return events
    events.push(
      ...page.events.map((event) =>
        event.type.startsWith('test.') ? ({ ...event, data: {} } as never) : decodeEvent(event),
      ),
    )
    after = page.position
  }
}

const append = async (store: EventStore, stream: string, ...events: readonly DomainEvent[]): Promise<void> => {
  const stored = events.map((event) => {
    const { type, data } = encodeEvent(event)
    return { ...newEvent(data, type), id: randomUUID() }
  })
  const result = await store.append(stream, stored, 'any')
  if (result.outcome !== 'appended') throw new Error('nobody else writes')
}

/** Sales of a generated log under ids of their own, with events of others in between. */
const record = async (store: EventStore, events: readonly RecordedEvent[]): Promise<void> => {
  const ids = new Map<string, string>()
  for (const { type, data } of events as readonly RecordedEvent<DomainEvent & { data: { orderId: string } }>[]) {
    const orderId = ids.get(data.orderId) ?? randomUUID()
    ids.set(data.orderId, orderId)
    await append(store, orderStream(orderId), { type, data: { ...data, orderId } } as DomainEvent)
    if (data.orderId < '00000000-0000-4000-8000-000000000006')
      await store.append(`other-${randomUUID()}`, [newEvent()], 'none')
  }
}

const moments = [
  '2026-11-20T23:59:59.999Z',
  '2026-11-21T00:30:00.000Z',
  '2026-11-21T13:00:00.000Z',
  '2026-11-22T00:00:00.000Z',
]

/** Every answer that there is, from a naive fold and from the history, side by side. */
const compareAll = async (then: BoardsThen, events: readonly RecordedEvent[]): Promise<void> => {
  const naive = naiveBoards(events)
  const placesOf = (board: string, measure: string, window: string, bucket: string) =>
    [...naive]
      .flatMap(([id, score]) => {
        const prefix = `${board} ${measure} ${window} ${bucket} `
        return id.startsWith(prefix) && score > 0n ? [{ key: id.slice(prefix.length), score }] : []
      })
      .sort((a, b) => (a.score === b.score ? (a.key < b.key ? -1 : 1) : a.score > b.score ? -1 : 1))
  for (const board of boards)
    for (const window of ['hour', 'day', 'all'] as const)
      for (const at of moments) {
        const bucket = bucketOf(window, at)
        const ranked = (measure: string, limit: number) =>
          placesOf(board, measure, window, bucket)
            .slice(0, limit)
            .map((place, index) => ({ rank: index + 1, ...place }))
        const query = { board, window, at, limit: 100 }
        expect(await then.top({ ...query, by: 'units' })).toEqual(ranked('units ', 100))
        expect(await then.top({ ...query, limit: 1, by: 'units' })).toEqual(ranked('units ', 1))
        for (const currency of ['EUR', 'JPY', 'USD'])
          expect(await then.top({ ...query, by: 'revenue', currency })).toEqual(ranked(`revenue ${currency}`, 100))
        expect(await then.currencies(query)).toEqual(
          placesOf(board, 'currencies ', window, bucket).map(({ key }) => key),
        )
      }
}

const open = {
  PostgreSQL: async () => {
    const test = await openTestDatabase()
    const store = openPostgresEventStore({ database: test.database, logger: silentLogger })
    return { test, store: store as EventStore, close: () => store.close().then(test.drop) }
  },
  EventStoreDB: async () => {
    const [test, rig] = [await openTestDatabase(), await openEventStoreDbRig()]
    return { test, store: rig.store as EventStore, close: () => rig.close().then(test.drop) }
  },
}

describe.each(['PostgreSQL', 'EventStoreDB'] as const)('leaderboards of the past, the log in %s', (engine) => {
  let test_: TestDatabase
  let store: EventStore
  let close: () => Promise<void>
  beforeAll(async () => {
    const opened = await open[engine]()
    test_ = opened.test
    store = opened.store
    close = opened.close
  })
  afterAll(() => close())

  const history = (interval: number) => {
    const folded: number[] = []
    const metrics = { asOfEvents: { labels: () => ({ observe: (events: number) => folded.push(events) }) } }
    const deps = { store, database: test_.database, clock: systemClock, metrics: metrics as never }
    return { folded, asOf: createBoardHistory(deps, interval) }
  }

  test('equal a naive fold of the log up to any position or time, and fold little', async () => {
    await fc.assert(
      fc.asyncProperty(
        confirmationsAndCancellations,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 3 }),
        async ({ events }, places) => {
          await record(store, events)
          const log = await wholeLog(store)
          const { asOf, folded } = history(7)
          for (const place of places) {
            const index = Math.floor(place * log.length)
            const position = log[index]?.position ?? (await store.head())
            const byPosition = await asOf(`position:${position}`)
            await compareAll(
              byPosition,
              log.filter((event) => event.position <= position),
            )
            const time = log[index]?.recordedAt ?? new Date().toISOString()
            const later = log.findIndex((event) => event.recordedAt > time)
            await compareAll(await asOf(time), log.slice(0, later < 0 ? log.length : later))
          }
          expect(Math.max(...folded)).toBeLessThan(7)
        },
      ),
      { numRuns: 6, interruptAfterTimeLimit: 90_000 },
    )
  }, 240_000)

  test('of before the first event there is nothing, of beyond the last no answer', async () => {
    const { asOf } = history(7)
    await compareAll(await asOf('position:0'), [])
    expect((await asOf('position:0')).at).toBe('1970-01-01T00:00:00.000Z')
    await compareAll(await asOf('2020-01-01T00:00:00.000Z'), [])
    const beyond = (await store.head()) + 1n
    await expect(asOf(`position:${beyond}`)).rejects.toMatchObject({ code: 'in-the-future' })
    await expect(asOf('2999-01-01T00:00:00.000Z')).rejects.toMatchObject({ code: 'in-the-future' })
    await expect(asOf('3')).rejects.toMatchObject({ code: 'board-without-revisions' })
  })

  test('are prepared in turns: every question sets a mark, and many at once set each of them once', async () => {
    await test_.database.query('delete from history.board_marks')
    await test_.database.query('delete from history.board_sums')
    while ((await wholeLog(store)).length < 30) await store.append(`other-${randomUUID()}`, [newEvent()], 'none')
    const log = await wholeLog(store)
    const at = `position:${log.at(-1)?.position}`
    const { asOf } = history(7)
    const marks = async () =>
      (await test_.database.query<{ mark: number }>('select mark from history.board_marks order by mark')).map(
        ({ mark }) => mark,
      )
    await expect(asOf(at, 0)).rejects.toMatchObject({ code: 'history-in-preparation' })
    expect(await marks()).toEqual([1])
    await expect(asOf(at, 0)).rejects.toMatchObject({
      code: 'history-in-preparation',
      details: { foldedUpTo: `${log[13]?.position}` },
    })
    expect(await marks()).toEqual([1, 2])
    // Two processes, each asked by many.
    const other = history(7)
    const answers = await Promise.all([1, 2, 3, 4].flatMap(() => [asOf(at, 10_000), other.asOf(at, 10_000)]))
    expect(await marks()).toEqual(Array.from({ length: Math.floor(log.length / 7) }, (_, index) => index + 1))
    for (const then of answers.slice(0, 2)) await compareAll(then, log)
  })
})

test('a sale that cannot be read keeps no mark from being set past it, and is told once', async () => {
  const { test, store, close } = await open.PostgreSQL()
  const [sample] = fc.sample(
    confirmationsAndCancellations.filter(({ events }) => events.length >= 12),
    { numRuns: 1, seed: 7 },
  )
  await store.append(orderStream(randomUUID()), [newEvent({ orderId: 'no sale' }, 'order.confirmed.v1')], 'none')
  await record(store, sample?.events ?? [])
  const metrics = { asOfEvents: { labels: () => ({ observe: () => undefined }) } } as never
  const told: object[] = []
  const logger = { warn: (what: object) => told.push(what) } as never
  const asOf = createBoardHistory({ store, database: test.database, clock: systemClock, metrics, logger }, 4)
  const log = (await wholeLog(store)).filter(({ position }) => position > 1n)
  for (const position of ['1', '3', await store.head()])
    await compareAll(
      await asOf(`position:${position}`),
      log.filter((event) => event.position <= BigInt(position)),
    )
  expect(told).toMatchObject([{ position: '1' }])
  await close()
})

test('marks in a part of the log that was put back are forgotten, also under an answer', async () => {
  const { test, store, close } = await open.PostgreSQL()
  const [sample] = fc.sample(
    confirmationsAndCancellations.filter(({ events }) => events.length >= 12),
    { numRuns: 1, seed: 7 },
  )
  await record(store, sample?.events ?? [])
  const metrics = { asOfEvents: { labels: () => ({ observe: () => undefined }) } } as never
  const asOf = createBoardHistory({ store, database: test.database, clock: systemClock, metrics }, 4)
  const before = await asOf(`position:${await store.head()}`)
  await compareAll(before, await wholeLog(store))

  await putBack(test.database, 6n)
  const [other] = fc.sample(
    confirmationsAndCancellations.filter(({ events }) => events.length >= 12),
    { numRuns: 1, seed: 8 },
  )
  await record(store, other?.events ?? [])
  const log = await wholeLog(store)
  await compareAll(await asOf(`position:${await store.head()}`), log)
  await compareAll(
    await asOf('position:5'),
    log.filter((event) => event.position <= 5n),
  )
  // The mark that it was about to read is gone: it is answered from the log that there is.
  const [latest] = await test.database.query<{ position: bigint }>(
    'select max(position) as position from history.board_marks',
  )
  const halfway = await asOf(`position:${latest?.position}`)
  await test.database.query('delete from history.board_marks')
  await test.database.query('delete from history.board_sums')
  await compareAll(
    halfway,
    log.filter((event) => event.position <= (latest?.position ?? 0n)),
  )
  await close()
})
