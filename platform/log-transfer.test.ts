import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { encodeEvent } from '../schemas/codec.ts'
import type { StoredEvent } from '../schemas/envelope.ts'
import { orderStream } from '../schemas/streams.ts'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { AppendTooLarge, maxAppendBytes } from './event-store.ts'
import { exportLog } from './log-export.ts'
import { chainOf, type LogTransferError, linked, unlinked } from './log-file.ts'
import { type ReadLogFileOptions, readLogFile } from './log-file-reader.ts'
import { type ImportTarget, importLog } from './log-import.ts'

const never = new AbortController().signal
const source = createMemoryEventStore()

const exported = async (after = 0n, log = source): Promise<string> => {
  let text = ''
  for await (const lines of exportLog(log, after, never)) text += lines
  return text
}

const linesIn = (text: string): string[] => text.trimEnd().split('\n')

/** The file with another link in each line, as somebody makes it who knows how. */
const relinked = (lines: readonly string[]): string => {
  let chain = ''
  return lines
    .map((text) => {
      const line = unlinked(text)?.line ?? text
      chain = chainOf(chain, line)
      return linked(line, chain)
    })
    .join('')
}

async function* inPieces(text: string, bytes: number): AsyncGenerator<Uint8Array> {
  const whole = Buffer.from(text)
  for (let from = 0; from < whole.length; from += bytes) yield whole.subarray(from, from + bytes)
}

/** A log in memory that can be imported into. */
const openTarget = (held: readonly StoredEvent[] = []) => {
  const log: StoredEvent[] = held.map((event, index) => ({ ...event, position: BigInt(index + 1) }))
  const calls: string[] = []
  const target: ImportTarget = {
    readAll: async ({ after, limit }) => {
      const events = log.slice(Number(after), Number(after) + limit)
      return { events, position: events.at(-1)?.position ?? after }
    },
    readStream: async (stream, { from = 0n, limit } = {}) => {
      const events = log.filter((event) => event.stream === stream)
      return { revision: events.at(-1)?.revision ?? 'none', events: events.slice(Number(from)).slice(0, limit) }
    },
    begin: async () => void calls.push('begin'),
    write: async (events) => {
      for (const [index, event] of events.entries()) {
        const continues = BigInt(log.filter(({ stream }) => stream === event.stream).length)
        if (event.revision !== continues) return { index, continues }
        log.push({ ...event, position: BigInt(log.length + 1) })
      }
      calls.push(`write ${events.length}`)
      return undefined
    },
    finish: async () => void calls.push('finish'),
  }
  return { log, calls, target }
}

const importing = async (text: string, target: ImportTarget, options?: ReadLogFileOptions) =>
  importLog(await readLogFile(inPieces(text, 1_000), options), target, { signal: never })

const codeOf = (work: Promise<unknown>): Promise<[string, string] | string> =>
  work.then(
    () => 'it went well',
    (error: LogTransferError) => [error.code ?? String(error), error.message],
  )

let whole: string
let events: readonly StoredEvent[]

beforeAll(async () => {
  for (let order = 0; order < 500; order += 1) {
    const life = orderLife({ customerId: `customer-${order}` })
    const stored = [life.placed, life.confirmed, life.shipped].map((event) => ({
      ...newEvent(),
      ...encodeEvent(event),
    }))
    await source.append(orderStream(life.orderId), stored, 'none')
  }
  whole = await exported()
  events = (await source.readAll({ after: 0n, limit: 10_000 })).events
})

describe('an exported log', () => {
  test('has a header, a line per event with its whole envelope, and a footer', async () => {
    const lines = linesIn(whole).map((line) => JSON.parse(line))
    expect(lines).toHaveLength(1_502)
    expect(lines[0]).toMatchObject({
      ...{ orderlogExport: 1, log: await source.identity(), from: '0', head: '1500', follows: null },
    })
    const { chain: _, ...line } = lines[2]
    const [, event] = events
    expect(line).toEqual({ ...event, position: `${event?.position}`, revision: `${event?.revision}` })
    expect(lines.at(-1)).toMatchObject({ end: true, events: 1_500 })
  })

  test('from a position on holds what comes after it, and says after which event', async () => {
    const [header, first] = linesIn(await exported(1_490n)).map((line) => JSON.parse(line))
    const before = events[1_489]
    expect(header.follows).toEqual({ id: before?.id, stream: before?.stream, revision: `${before?.revision}` })
    expect(first).toMatchObject({ position: '1491', id: events[1_490]?.id })
    expect(await codeOf(exported(1_501n))).toMatchObject(['export-no-such-position', expect.any(String)])
  })

  test('is read page by page, as fast as it is taken', async () => {
    let reads = 0
    const counted = {
      ...source,
      readAll: (...options: Parameters<typeof source.readAll>) => {
        reads += 1
        return source.readAll(...options)
      },
    }
    const lines = exportLog(counted, 0n, never)
    for (let taken = 0; taken < 3; taken += 1) await lines.next()
    expect(reads).toBe(2)
    await lines.return(undefined as never)
  })

  test('that is stopped has no footer', async () => {
    const stop = new AbortController()
    const lines = exportLog(source, 0n, stop.signal)
    await lines.next()
    await lines.next()
    stop.abort()
    expect(await codeOf(lines.next())).toEqual(['export-stopped', expect.stringContaining('--from 256')])
  })
})

describe('an import', () => {
  test('writes every event as it was, in batches', async () => {
    const { log, calls, target } = openTarget()
    expect(await importing(whole, target)).toEqual({ imported: 1_500, known: 0 })
    expect(log).toEqual(events)
    expect(calls).toEqual(['begin', 'write 1000', 'write 500', 'finish'])
  })

  test('takes nothing else for an export', async () => {
    for (const text of [
      '',
      '\n',
      '{"hello":"world"}\n',
      whole.slice(0, 100),
      whole.replace('"orderlogExport":1', '"orderlogExport":2'),
    ])
      expect(await codeOf(importing(text, openTarget().target))).toMatchObject([
        'import-not-an-export',
        expect.any(String),
      ])
    const next = relinked(linesIn(whole.replace('"orderlogExport":1', '"orderlogExport":2')))
    expect(await codeOf(importing(next, openTarget().target))).toMatchObject([
      'import-not-an-export',
      expect.any(String),
    ])
  })

  test('notices wherever a file was cut off, and keeps whole batches only', async () => {
    const lines = linesIn(whole)
    const cuts = [
      whole.slice(0, -1),
      whole.slice(0, -40),
      `${lines.slice(0, 1_300).join('\n')}\n`,
      whole.slice(0, whole.length * 0.9),
    ]
    for (const text of cuts) {
      const { log, calls, target } = openTarget()
      expect(await codeOf(importing(text, target))).toMatchObject(['import-truncated', expect.any(String)])
      expect(calls).toEqual(['begin', 'write 1000'])
      expect(log).toEqual(events.slice(0, 1_000))
      // The file as it should have been goes on there.
      expect(await importing(whole, target)).toEqual({ imported: 500, known: 1_000 })
      expect(log).toEqual(events)
    }
  })

  test('takes a file that was cut off as far as it goes when it is told to', async () => {
    const { log, calls, target } = openTarget()
    const text = `${linesIn(whole).slice(0, 1_300).join('\n')}\n{"position":"1300","str`
    expect(await importing(text, target, { acceptTruncated: true })).toEqual({ imported: 1_299, known: 0 })
    expect(log).toEqual(events.slice(0, 1_299))
    expect(calls.at(-1)).toBe('finish')
  })

  test('names the line that was changed, left out, doubled or moved', async () => {
    const lines = linesIn(whole)
    const at = (index: number) => lines[index] ?? ''
    const placed = lines.findIndex((line, index) => index > 700 && line.includes('"quantity":2'))
    const damaged: [string[], number][] = [
      [lines.with(placed, at(placed).replace('"quantity":2', '"quantity":3')), placed],
      [lines.toSpliced(40, 1), 40],
      [lines.toSpliced(40, 0, at(40)), 41],
      [lines.with(40, at(41)).with(41, at(40)), 40],
      [lines.with(1_200, at(1_200).slice(0, -1)), 1_200],
      [[...lines, at(5)], 1_502],
    ]
    for (const [file, index] of damaged)
      expect(await codeOf(importing(`${file.join('\n')}\n`, openTarget().target))).toEqual([
        'import-line-damaged',
        expect.stringMatching(new RegExp(`^Line ${index + 1} `)),
      ])
  })

  test('checks what a well-made file holds: envelopes, data, names, the order of positions', async () => {
    const lines = linesIn(whole)
    const changed = (index: number, change: (event: Record<string, unknown>) => unknown): string =>
      relinked(lines.with(index, JSON.stringify(change(JSON.parse(unlinked(lines[index] ?? '')?.line ?? '')))))
    const refusals: [string, string, string][] = [
      [changed(7, (event) => ({ ...event, id: 'x' })), 'import-line-invalid', 'Line 8: /id must be a uuid'],
      [changed(7, (event) => ({ ...event, stream: 'order\n1' })), 'import-line-invalid', 'Line 8: /stream'],
      [changed(7, (event) => ({ ...event, stream: '$all' })), 'import-line-invalid', 'Line 8: /stream'],
      [changed(7, (event) => ({ ...event, extra: 1 })), 'import-line-invalid', 'has an unknown member "extra"'],
      [changed(7, (event) => ({ ...event, recordedAt: 'today' })), 'import-line-invalid', 'Line 8: /recordedAt'],
      [changed(7, ({ metadata: _, ...event }) => event), 'import-line-invalid', 'lacks the member "metadata"'],
      [changed(7, (event) => ({ ...event, data: { orderId: 7 } })), 'import-line-invalid', 'Line 8: the data of this'],
      [
        changed(7, (event) => ({ ...event, type: 'order.teleported.v1' })),
        'import-unknown-event',
        'Line 8: this version',
      ],
      [changed(7, (event) => ({ ...event, type: 'order.placed.v9' })), 'import-unknown-event', '"order.placed.v9"'],
      [
        changed(7, (event) => ({ ...event, position: '6' })),
        'import-out-of-order',
        'Line 8: position 6 is not after 6',
      ],
      [changed(7, (event) => ({ ...event, position: '1501' })), 'import-out-of-order', 'beyond 1500'],
      [
        changed(7, (event) => ({ ...event, revision: '5' })),
        'import-out-of-order',
        'Line 8: revision 5 does not continue',
      ],
      [relinked(lines.toSpliced(1_500, 1)), 'import-truncated', 'holds 1499'],
    ]
    for (const [text, code, message] of refusals)
      expect(await codeOf(importing(text, openTarget().target))).toEqual([code, expect.stringContaining(message)])
  })

  test('says between which lines an event is that the log does not take', async () => {
    const { target } = openTarget()
    const refusing: ImportTarget = {
      ...target,
      write: async () => {
        throw new AppendTooLarge('order-1', maxAppendBytes + 1)
      },
    }
    expect(await codeOf(importing(whole, refusing))).toEqual([
      'import-line-invalid',
      expect.stringMatching(/^Lines 2 to 1001: one is refused, an append of 1048577 bytes to order-1 exceeds/),
    ])
  })

  test('takes events that it does not know only when it is told to', async () => {
    const log = createMemoryEventStore()
    await log.append('order-1', [newEvent({ anything: 'goes' }, 'order.teleported.v1')], 'none')
    const text = await exported(0n, log)
    expect(await codeOf(importing(text, openTarget().target))).toMatchObject([
      'import-unknown-event',
      expect.any(String),
    ])
    expect(await importing(text, openTarget().target, { allowUnknown: true })).toEqual({ imported: 1, known: 0 })
  })

  test('continues a log exactly where it ends, and no other', async () => {
    const rest = await exported(1_200n)
    const { log, target } = openTarget(events.slice(0, 1_200))
    expect(await importing(rest, target)).toEqual({ imported: 300, known: 0 })
    expect(log).toEqual(events)
    expect(await importing(rest, target)).toEqual({ imported: 0, known: 300 })
    const refusals: [StoredEvent[], string][] = [
      [events.slice(0, 1_199), 'which this log does not hold'],
      [
        [...events.slice(0, 1_200), { ...(events[1_200] as StoredEvent), id: randomUUID() }],
        'Line 2: the log holds event',
      ],
    ]
    for (const [held, message] of refusals)
      expect(await codeOf(importing(rest, openTarget(held).target))).toEqual([
        'import-log-differs',
        expect.stringContaining(message),
      ])
    const other = openTarget([{ ...(events[0] as StoredEvent), data: { total: 0 } }])
    expect(await codeOf(importing(whole, other.target))).toMatchObject(['import-log-differs', expect.any(String)])
    expect(other.calls).toEqual([])
  })

  test('of a file that ends before the log does says nothing about the rest of it', async () => {
    const { calls, target } = openTarget(events)
    const beginning = createMemoryEventStore()
    const part = { ...beginning, identity: source.identity, head: async () => 900n, readAll: source.readAll }
    expect(await importing(await exported(0n, part), target)).toEqual({ imported: 0, known: 900 })
    expect(calls).toEqual([])
    expect(await importing(whole, target)).toEqual({ imported: 0, known: 1_500 })
    expect(calls).toEqual(['finish'])
  })

  test('refuses a line that no event can be, before it has read it', async () => {
    const endless = async function* () {
      yield Buffer.from(`${linesIn(whole)[0]}\n`)
      for (;;) yield Buffer.alloc(65_536, 'x')
    }
    const file = await readLogFile(endless())
    expect(await codeOf(importLog(file, openTarget().target, { signal: never }))).toEqual([
      'import-line-damaged',
      'Line 2 is longer than 2097152 bytes. [import-line-damaged]',
    ])
  })

  test('reads no further ahead than the batch that it writes', async () => {
    let taken = 0
    const counted = async function* () {
      for await (const piece of inPieces(whole, 500)) {
        taken += 1
        yield piece
      }
    }
    const { target } = openTarget()
    let atFirst = 0
    const slow: ImportTarget = {
      ...target,
      write: async (batch) => {
        await new Promise((resolve) => setImmediate(resolve))
        atFirst ||= taken
        return target.write(batch)
      },
    }
    await importLog(await readLogFile(counted()), slow, { signal: never })
    expect(atFirst / taken).toBeLessThan(0.75)
  })
})
