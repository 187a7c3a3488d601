import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StoredEvent } from '../schemas/envelope.ts'
import { newEvent, newEvents, newStream } from '../test/support/new-event.ts'
import { type AppendResult, type EventStore, maxAppendBytes } from './event-store.ts'

/** Follows the log from a position until `enough` says so; the pages in one list. */
export const collect = async (
  store: EventStore,
  after: bigint,
  enough: (events: readonly StoredEvent[]) => boolean,
  types?: readonly string[],
): Promise<StoredEvent[]> => {
  const stop = new AbortController()
  const events: StoredEvent[] = []
  for await (const page of store.subscribe({
    after,
    signal: stop.signal,
    pageSize: 100,
    ...(types ? { types } : {}),
  })) {
    events.push(...page.events)
    if (enough(events)) stop.abort()
  }
  return events
}

const positionOf = (result: AppendResult): bigint => {
  if (result.outcome !== 'appended') throw new Error('the append was expected to succeed')
  return result.position
}

const ids = (events: readonly { id: string }[]): string[] => events.map((event) => event.id)

/**
 * What every event store has to do. Streams are new in every test; the log may hold other events and positions gaps.
 */
export const describeEventStore = (
  name: string,
  open: () => Promise<{ store: EventStore; close(): Promise<void> }>,
): void => {
  describe(`event store: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>
    let store: EventStore

    beforeAll(async () => {
      opened = await open()
      store = opened.store
    })
    afterAll(() => opened.close())

    describe('append', () => {
      test('a new stream begins at revision 0 and goes on where it ended', async () => {
        const stream = newStream()
        const first = await store.append(stream, newEvents(2), 'none')
        const second = await store.append(stream, newEvents(3), 1n)
        expect(first).toMatchObject({ outcome: 'appended', revision: 1n })
        expect(second).toMatchObject({ outcome: 'appended', revision: 4n })
        expect(positionOf(second)).toBeGreaterThan(positionOf(first))
      })

      test('a wrong belief about the stream is a conflict that tells the truth', async () => {
        const stream = newStream()
        expect(await store.append(stream, newEvents(1), 0n)).toEqual({
          outcome: 'conflict',
          expected: 0n,
          actual: 'none',
        })
        await store.append(stream, newEvents(2), 'none')
        expect(await store.append(stream, newEvents(1), 'none')).toEqual({
          outcome: 'conflict',
          expected: 'none',
          actual: 1n,
        })
        expect(await store.append(stream, newEvents(1), 0n)).toEqual({ outcome: 'conflict', expected: 0n, actual: 1n })
        expect(await store.append(stream, newEvents(1), 7n)).toEqual({ outcome: 'conflict', expected: 7n, actual: 1n })
        expect((await store.readStream(stream)).events).toHaveLength(2)
      })

      test('any revision will do when none is expected in particular', async () => {
        const stream = newStream()
        expect(await store.append(stream, newEvents(2), 'any')).toMatchObject({ outcome: 'appended', revision: 1n })
        expect(await store.append(stream, newEvents(1), 'any')).toMatchObject({ outcome: 'appended', revision: 2n })
      })

      test.each(['none', 1n, 'any'] as const)(
        'a repeat, expecting %s, is given the first result and writes nothing',
        async (expected) => {
          const stream = newStream()
          if (expected !== 'none') await store.append(stream, newEvents(2), 'none')
          const events = newEvents(2)
          const first = await store.append(stream, events, expected)
          await store.append(stream, newEvents(1), 'any')
          expect(first.outcome).toBe('appended')
          expect(await store.append(stream, events, expected)).toEqual(first)
          expect((await store.readStream(stream)).events).toHaveLength(expected === 'none' ? 3 : 5)
        },
      )

      test.each(['none', 'any'] as const)(
        'a repeat, expecting %s, of which only a part is known is a conflict',
        async (expected) => {
          const stream = newStream()
          const events = newEvents(2)
          await store.append(stream, events, expected)
          expect(await store.append(stream, [...events, newEvent()], expected)).toEqual({
            outcome: 'conflict',
            expected,
            actual: 1n,
          })
          expect(await store.append(stream, [newEvent(), ...events.slice(1)], expected)).toMatchObject({
            outcome: 'conflict',
          })
          expect(ids((await store.readStream(stream)).events)).toEqual(ids(events))
        },
      )

      test('of many creators of one stream exactly one wins', async () => {
        const stream = newStream()
        const results = await Promise.all(Array.from({ length: 20 }, () => store.append(stream, newEvents(2), 'none')))
        const won = results.filter((result) => result.outcome === 'appended')
        const lost = results.filter((result) => result.outcome === 'conflict')
        expect(won).toHaveLength(1)
        for (const result of lost) expect(result).toEqual({ outcome: 'conflict', expected: 'none', actual: 1n })
        expect((await store.readStream(stream)).events).toHaveLength(2)
      })

      test('neighbours in time do not share their fate', async () => {
        const [taken, free] = [newStream(), newStream()]
        await store.append(taken, newEvents(1), 'none')
        const results = await Promise.all([
          store.append(taken, newEvents(1), 'none'),
          store.append(free, newEvents(1), 'none'),
          store.append(taken, newEvents(1), 0n),
        ])
        expect(results.map((result) => result.outcome)).toEqual(['conflict', 'appended', 'appended'])
      })

      test('an append beyond the size limit is refused with a code, one below it is not', async () => {
        const stream = newStream()
        const tooLarge = newEvent({ text: 'x'.repeat(maxAppendBytes) })
        await expect(store.append(stream, [tooLarge], 'none')).rejects.toMatchObject({ code: 'append-too-large' })
        expect((await store.readStream(stream)).revision).toBe('none')
        const large = newEvent({ text: 'x'.repeat(maxAppendBytes - 1_000) })
        expect(await store.append(stream, [large], 'none')).toMatchObject({ outcome: 'appended' })
        expect((await store.readStream(stream)).events[0]?.data).toEqual(large.data)
      })

      test('nothing, and names and values that are none, are refused', async () => {
        await expect(store.append(newStream(), [], 'none')).rejects.toThrow(RangeError)
        await expect(store.append('', newEvents(1), 'none')).rejects.toThrow(RangeError)
        await expect(store.append('a\nb', newEvents(1), 'none')).rejects.toThrow(RangeError)
        await expect(store.append(newStream(), [newEvent({}, 'a\nb')], 'none')).rejects.toThrow(RangeError)
        await expect(store.append(newStream(), [{ ...newEvent(), id: 'a\nb' }], 'none')).rejects.toThrow(RangeError)
        await expect(store.append(newStream(), [{ ...newEvent(), data: undefined }], 'none')).rejects.toThrow(
          RangeError,
        )
        await expect(store.append(newStream(), newEvents(1), -1n)).rejects.toThrow(RangeError)
      })
    })

    describe('what was written', () => {
      test('comes back exactly, with its place in stream and log', async () => {
        const stream = newStream()
        const event = newEvent({
          z: 1,
          a: { nested: [true, false, null, '', 0, -0.5, 1e21, Number.MAX_SAFE_INTEGER] },
          '10': 'keys keep their order as far as the language does',
          text: 'Zoë, 你好, 👩‍👩‍👧, \u0000, \n\r\t, "quoted", \\, \u2028, \ud800',
          big: String(2n ** 100n),
        })
        const result = await store.append(stream, [event], 'none')
        const { revision, events } = await store.readStream(stream)
        expect(revision).toBe(0n)
        expect(events).toHaveLength(1)
        const [stored] = events
        expect(JSON.stringify(stored?.data)).toBe(JSON.stringify(event.data))
        expect(stored).toMatchObject({ ...event, stream, revision: 0n, position: positionOf(result) })
        expect(stored?.recordedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      })

      test('comes back the same from a single read, a page of the log and a subscription', async () => {
        const before = await store.head()
        const stream = newStream()
        await store.append(stream, newEvents(3), 'none')
        const { events } = await store.readStream(stream)
        const mine = (all: readonly StoredEvent[]) => all.filter((event) => event.stream === stream)
        expect(mine((await store.readAll({ after: before, limit: 1_000 })).events)).toEqual(events)
        expect(mine(await collect(store, before, (all) => mine(all).length === 3))).toEqual(events)
        expect((await store.readStream(stream, { limit: 100 })).events).toEqual(events)
      })

      test('its last event is told with where it lies, as the event itself says', async () => {
        const stream = newStream()
        await store.append(stream, newEvents(3), 'none')
        const { events } = await store.readStream(stream, { direction: 'backwards', limit: 1 })
        const { id, revision, position } = events[0] ?? {}
        for (let asked = 0; asked < 2; asked += 1)
          expect(await store.last()).toMatchObject({ id, stream, revision, position })
        expect(await store.head()).toBe(position)
      })

      test('the JSON of an event, where the engine has it, says what the event says', async () => {
        const before = await store.head()
        const texts = ['a, b', 'line\nbreak', '"},\n{"', 'ü']
        await store.append(
          newStream(),
          texts.map((text) => newEvent({ text })),
          'none',
        )
        const stop = new AbortController()
        const pages = store.subscribe({ after: before, pageSize: 3, withJson: true, signal: stop.signal })
        let seen = 0
        for await (const { events, json } of pages) {
          for (const [index, event] of events.entries())
            if (json) {
              expect(JSON.parse(json[index]?.data ?? '')).toEqual(event.data)
              expect(JSON.parse(json[index]?.metadata ?? '')).toEqual(event.metadata)
            }
          seen += events.length
          if (seen >= texts.length) stop.abort()
        }
        expect(seen).toBeGreaterThanOrEqual(texts.length)
      })
    })

    describe('read a stream', () => {
      const stream = newStream()
      const written = newEvents(10)
      beforeAll(async () => {
        await store.append(stream, written, 'none')
      })
      const revisions = (events: readonly StoredEvent[]) => events.map((event) => Number(event.revision))

      test('forwards, whole', async () => {
        const slice = await store.readStream(stream)
        expect(slice.revision).toBe(9n)
        expect(ids(slice.events)).toEqual(ids(written))
      })

      test('forwards from a revision, at most so many', async () => {
        const slice = await store.readStream(stream, { from: 3n, limit: 4 })
        expect(slice.revision).toBe(9n)
        expect(revisions(slice.events)).toEqual([3, 4, 5, 6])
        expect(revisions((await store.readStream(stream, { from: 8n })).events)).toEqual([8, 9])
      })

      test('backwards from the end or from a revision', async () => {
        const whole = await store.readStream(stream, { direction: 'backwards' })
        expect(whole.revision).toBe(9n)
        expect(revisions(whole.events)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
        expect(revisions((await store.readStream(stream, { direction: 'backwards', limit: 2 })).events)).toEqual([9, 8])
        const part = await store.readStream(stream, { direction: 'backwards', from: 4n, limit: 2 })
        expect(part.revision).toBe(9n)
        expect(revisions(part.events)).toEqual([4, 3])
      })

      test('beyond its end there is nothing, but the revision is told', async () => {
        expect(await store.readStream(stream, { from: 10n })).toEqual({ revision: 9n, events: [] })
        expect(await store.readStream(stream, { from: 99n, limit: 5 })).toEqual({ revision: 9n, events: [] })
      })

      test('as a history: what happened and where it ends, as the events tell it', async () => {
        const { events } = await store.readStream(stream)
        const history = await store.readHistory(stream)
        expect(history.events.map(({ type, data }) => ({ type, data }))).toEqual(
          events.map(({ type, data }) => ({ type, data })),
        )
        const last = events.at(-1)
        expect(history.last).toMatchObject({ id: last?.id, revision: 9n, position: last?.position })
      })

      test('a stream that does not exist is empty and has no revision', async () => {
        const missing = newStream()
        const nothing = { revision: 'none', events: [] }
        expect(await store.readStream(missing)).toEqual(nothing)
        expect(await store.readStream(missing, { from: 3n })).toEqual(nothing)
        expect(await store.readStream(missing, { direction: 'backwards', limit: 1 })).toEqual(nothing)
        expect(await store.readHistory(missing)).toEqual({ last: undefined, events: [] })
      })

      test('many at once, each is given its own', async () => {
        const streams = Array.from({ length: 30 }, () => newStream())
        await Promise.all(streams.map((each, index) => store.append(each, newEvents(index + 1), 'none')))
        const slices = await Promise.all(
          streams.flatMap((each) => [store.readStream(each), store.readStream(each, { from: 5n })]),
        )
        streams.forEach((each, index) => {
          const [whole, rest] = [slices[2 * index], slices[2 * index + 1]]
          expect(whole?.events.map((event) => event.stream)).toEqual(Array(index + 1).fill(each))
          expect(whole?.revision).toBe(BigInt(index))
          expect(rest?.events).toHaveLength(Math.max(0, index - 4))
          expect(rest?.revision).toBe(BigInt(index))
        })
        const histories = await Promise.all([...streams, ...streams].map((each) => store.readHistory(each)))
        histories.forEach((history, index) => {
          const whole = slices[2 * (index % streams.length)]
          expect(history.last?.id).toBe(whole?.events.at(-1)?.id)
          expect(history.events.map((event) => event.data)).toEqual(whole?.events.map((event) => event.data))
        })
      })
    })

    describe('read the log', () => {
      const ways = [{ bulk: false }, { bulk: true }]
      test.each(ways)('page by page, every event once and in the order of positions, in bulk: $bulk', async (way) => {
        const before = await store.head()
        const streams = Array.from({ length: 5 }, () => newStream())
        for (const stream of streams) await store.append(stream, newEvents(3), 'none')
        const seen: StoredEvent[] = []
        for (let after = before; ; ) {
          const page = await store.readAll({ after, limit: 4, ...way })
          if (page.position === after) break
          expect(page.events.length).toBeLessThanOrEqual(4)
          seen.push(...page.events)
          after = page.position
        }
        const mine = seen.filter((event) => streams.includes(event.stream))
        expect(mine.map((event) => event.stream)).toEqual(streams.flatMap((stream) => [stream, stream, stream]))
        const positions = seen.map((event) => event.position)
        expect(positions).toEqual([...positions].sort((a, b) => (a < b ? -1 : 1)))
        expect(new Set(positions).size).toBe(positions.length)
      })

      test.each(ways)('only the wanted types, and the position passes over the others, in bulk: $bulk', async (way) => {
        const before = await store.head()
        const stream = newStream()
        const wanted = `test.${newStream('wanted')}.v1`
        const last = await store.append(
          stream,
          [newEvent(), newEvent({ n: 1 }, wanted), newEvent(), newEvent({ n: 2 }, wanted), newEvent()],
          'none',
        )
        const first = await store.readAll({ after: before, limit: 1, types: [wanted], ...way })
        expect(first.events.map((event) => event.data)).toEqual([{ n: 1 }])
        const rest = await store.readAll({ after: first.position, limit: 10, types: [wanted], ...way })
        expect(rest.events.map((event) => event.data)).toEqual([{ n: 2 }])
        expect(rest.position).toBeGreaterThanOrEqual(positionOf(last))
      })

      test.each(ways)('nothing lies beyond its head, in bulk: $bulk', async (way) => {
        const last = positionOf(await store.append(newStream(), newEvents(1), 'none'))
        const head = await store.head()
        expect(head).toBeGreaterThanOrEqual(last)
        const types = [`test.${newStream('unheard-of')}.v1`]
        expect((await store.readAll({ after: head + 1_000_000n, limit: 10, types, ...way })).events).toEqual([])
      })

      test('it has an identity that stays', async () => {
        expect(await store.identity()).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
        expect(await store.identity()).toBe(await store.identity())
      })
    })

    describe('subscribe', () => {
      test('catches up and goes on live without a gap or a double at the seam', async () => {
        const before = await store.head()
        const [past, live] = [newStream(), newStream()]
        for (let index = 0; index < 5; index += 1) await store.append(past, newEvents(50), 'any')
        const writing = (async () => {
          for (let index = 0; index < 50; index += 1) await store.append(live, newEvents(2), 'any')
        })()
        const mine = (events: readonly StoredEvent[]) =>
          events.filter((event) => event.stream === past || event.stream === live)
        const events = mine(await collect(store, before, (all) => mine(all).length >= 350))
        await writing
        expect(events.map((event) => event.revision)).toEqual(
          [250, 100].flatMap((count) => Array.from({ length: count }, (_, index) => BigInt(index))),
        )
      })

      test('only the wanted types, past and live', async () => {
        const before = await store.head()
        const wanted = `test.${newStream('wanted')}.v1`
        const stream = newStream()
        const write = (n: number) => store.append(stream, [newEvent(), newEvent({ n }, wanted)], 'any')
        await write(1)
        const seen: unknown[] = []
        const stop = new AbortController()
        for await (const page of store.subscribe({ after: before, types: [wanted], signal: stop.signal })) {
          seen.push(...page.events.map((event) => event.data))
          if (page.events.length > 0 && seen.length < 3) await write(seen.length + 1)
          if (seen.length === 3) stop.abort()
        }
        expect(seen).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
      })

      test('ends when the signal aborts, also while it waits, and at once when it had aborted before', async () => {
        const stop = new AbortController()
        const after = await store.head()
        const iterator = store.subscribe({ after: after + 1_000_000n, signal: stop.signal })[Symbol.asyncIterator]()
        const waiting = iterator.next()
        stop.abort()
        expect((await waiting).done).toBe(true)
        expect((await store.subscribe({ after: 0n, signal: stop.signal })[Symbol.asyncIterator]().next()).done).toBe(
          true,
        )
      })

      test('a consumer that walks away leaves nothing behind', async () => {
        const before = await store.head()
        await store.append(newStream(), newEvents(5), 'none')
        for await (const page of store.subscribe({
          after: before,
          pageSize: 1,
          signal: new AbortController().signal,
        })) {
          expect(page.events.length).toBeLessThanOrEqual(1)
          break
        }
      })

      test('events are counted by name up to a position', async () => {
        const before = await store.countTypes(await store.head())
        const first = newEvents(3)
        const middle = positionOf(await store.append(newStream(), first, 'none'))
        await store.append(newStream(), newEvents(2), 'none')
        const type = first[0]?.type ?? ''
        const known = before.get(type) ?? 0n
        expect((await store.countTypes(middle)).get(type)).toBe(known + 3n)
        expect((await store.countTypes(await store.head())).get(type)).toBe(known + 5n)
        expect((await store.countTypes(0n)).size).toBe(0)
        expect((await store.countTypes(await store.head(), middle)).get(type)).toBe(2n)
        expect((await store.countTypes(middle, middle)).size).toBe(0)
      })

      test('64 writers and a follower: nothing skipped, nothing twice, in order', async () => {
        const before = await store.head()
        const category = newStream('writer')
        const rounds = 20
        const following = collect(
          store,
          before,
          (all) => all.filter((event) => event.stream.startsWith(category)).length >= 64 * rounds,
        )
        const acknowledged: bigint[] = []
        await Promise.all(
          Array.from({ length: 64 }, async (_, writer) => {
            for (let round = 0; round < rounds; round += 1) {
              const expected = round === 0 ? 'none' : BigInt(round - 1)
              acknowledged.push(positionOf(await store.append(`${category}-${writer}`, newEvents(1), expected)))
            }
          }),
        )
        const seen = (await following).filter((event) => event.stream.startsWith(category))
        const positions = seen.map((event) => event.position)
        expect(positions).toEqual(acknowledged.sort((a, b) => (a < b ? -1 : 1)))
        expect(new Set(positions).size).toBe(64 * rounds)
        for (let writer = 0; writer < 64; writer += 1) {
          const own = seen.filter((event) => event.stream === `${category}-${writer}`)
          expect(own.map((event) => event.revision)).toEqual(
            Array.from({ length: rounds }, (_, index) => BigInt(index)),
          )
        }
      })
    })
  })
}
