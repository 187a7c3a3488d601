import { randomUUID } from 'node:crypto'
import { countTypesByReading } from '../../platform/count-types.ts'
import type { AppendResult, EventStore, LogPage, ReadAllOptions } from '../../platform/event-store.ts'
import { createProgress } from '../../platform/progress.ts'
import { proposeAppend } from '../../platform/proposed-append.ts'
import type { NewEvent, StoredEvent } from '../../schemas/envelope.ts'

const copyOf = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value))

/** The event store's contract in memory, for tests that drive thousands of histories. It keeps nothing. */
export const createMemoryEventStore = (): EventStore => {
  const identity = randomUUID()
  const log: StoredEvent[] = []
  const streams = new Map<string, StoredEvent[]>()
  const progress = createProgress(0n)

  const repeatOf = (stored: readonly StoredEvent[], events: readonly NewEvent[], expected: bigint | 'none' | 'any') => {
    const found =
      expected === 'any'
        ? stored.filter((event) => events.some(({ id }) => id === event.id))
        : events.flatMap(({ id }, index) => {
            const event = stored[Number(expected === 'none' ? 0n : expected + 1n) + index]
            return event?.id === id ? [event] : []
          })
    return { found: found.length, last: found.at(-1) }
  }

  const append: EventStore['append'] = async (stream, events, expected): Promise<AppendResult> => {
    proposeAppend(stream, events, expected)
    const stored = streams.get(stream) ?? []
    const actual = stored.at(-1)?.revision ?? 'none'
    const repeat = repeatOf(stored, events, expected)
    if (repeat.found === events.length && repeat.last)
      return { outcome: 'appended', revision: repeat.last.revision, position: repeat.last.position }
    if ((expected !== 'any' && expected !== actual) || (expected === 'any' && repeat.found > 0))
      return { outcome: 'conflict', expected, actual }
    for (const event of events) {
      const next: StoredEvent = {
        ...copyOf(event),
        stream,
        revision: BigInt(stored.length),
        position: BigInt(log.length + 1),
        recordedAt: new Date().toISOString(),
      }
      stored.push(next)
      log.push(next)
    }
    streams.set(stream, stored)
    progress.advance(BigInt(log.length))
    return { outcome: 'appended', revision: BigInt(stored.length - 1), position: BigInt(log.length) }
  }

  const readAll = async ({ after, limit, types }: ReadAllOptions): Promise<LogPage> => {
    const events: StoredEvent[] = []
    let position = after
    for (let index = Number(after); index < log.length && events.length < limit; index += 1) {
      const event = log[index]
      position = BigInt(index + 1)
      if (event && (!types || types.includes(event.type))) events.push(event)
    }
    return { events, position }
  }

  return {
    append,
    readAll,
    seeks: true,
    splits: false,
    readStream: async (stream, { direction = 'forwards', from, limit } = {}) => {
      const stored = streams.get(stream) ?? []
      const chosen =
        direction === 'forwards'
          ? stored.filter((event) => event.revision >= (from ?? 0n))
          : stored.filter((event) => from === undefined || event.revision <= from).reverse()
      return { revision: stored.at(-1)?.revision ?? 'none', events: chosen.slice(0, limit) }
    },
    readHistory: async (stream) => {
      const events = streams.get(stream) ?? []
      return { last: events.at(-1), events: [...events] }
    },
    subscribe: async function* ({ after, types, pageSize = 1_000, signal }) {
      let position = after
      while (!signal.aborted) {
        const page = await readAll({ after: position, limit: pageSize, ...(types ? { types } : {}) })
        if (page.position > position) {
          position = page.position
          yield page
        } else await progress.beyond(position, signal)
      }
    },
    countTypes: (upTo, after) => countTypesByReading(readAll, upTo, after),
    head: async () => BigInt(log.length),
    last: async () => log.at(-1),
    identity: async () => identity,
  }
}
