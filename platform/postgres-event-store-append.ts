import type { NewEvent } from '../schemas/envelope.ts'
import { createBatcher } from './batcher.ts'
import type { Database, Statement } from './database.ts'
import { type AppendResult, type EventStore, type ExpectedRevision, maxAppendBytes } from './event-store.ts'
import { EngineUnavailable } from './failures.ts'
import { proposeAppend } from './proposed-append.ts'

/**
 * Lists travel as one text each, a line per element: JSON as we write it has no line break, the names are checked for
 * it, and the server splits lines faster than it parses an array literal full of quoted JSON.
 */
const appendStatement: Statement = {
  name: 'log_append',
  text: `select appended, revision, position from log.append(
    string_to_array($1, E'\\n'), $2::bigint[], $3::integer[], $4::integer[], $5::integer[],
    string_to_array($6, E'\\n')::uuid[], string_to_array($7, E'\\n'),
    string_to_array($8, E'\\n')::json[], string_to_array($9, E'\\n')::json[])`,
}

interface Row {
  readonly appended: boolean
  readonly revision: bigint
  readonly position: bigint | null
}

/** An append, serialised by its caller's turn so that the batch has nothing left to do but join lines. */
interface Append {
  readonly stream: string
  readonly expected: ExpectedRevision
  readonly count: number
  readonly ids: string
  readonly types: string
  readonly data: string
  readonly metadata: string
  readonly bytes: number
}

const serialised = (stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Append => {
  const proposed = proposeAppend(stream, events, expected)
  const lines = (field: 'id' | 'type' | 'data' | 'metadata') => proposed.events.map((event) => event[field]).join('\n')
  return {
    stream,
    expected,
    count: events.length,
    ids: lines('id'),
    types: lines('type'),
    data: lines('data'),
    metadata: lines('metadata'),
    bytes: proposed.bytes,
  }
}

/** `1,2,3` */
const numbersTo = (count: number): string =>
  count === 1 ? '1' : Array.from({ length: count }, (_, index) => index + 1).join(',')

const coded = (expected: ExpectedRevision): bigint => (expected === 'none' ? -1n : expected === 'any' ? -2n : expected)

const toResult = (row: Row, expected: ExpectedRevision): AppendResult =>
  row.appended && row.position !== null
    ? { outcome: 'appended', revision: row.revision, position: row.position }
    : { outcome: 'conflict', expected, actual: row.revision === -1n ? 'none' : row.revision }

type Settled = { readonly result: AppendResult } | { readonly error: unknown }

/** @param deps.onAppended told of every batch that was committed: its highest position and how many events it brought */
export const createAppend = (deps: {
  readonly database: Database
  readonly onAppended: (position: bigint, events: number) => void
}): EventStore['append'] => {
  const lines = (appends: readonly Append[], field: 'stream' | 'ids' | 'types' | 'data' | 'metadata') =>
    appends.map((append) => append[field]).join('\n')

  const write = async (appends: readonly Append[]): Promise<readonly Settled[]> => {
    const rows = await deps.database.execute<Row>(appendStatement, [
      lines(appends, 'stream'),
      `{${appends.map((append) => coded(append.expected)).join(',')}}`,
      `{${appends.map((append) => append.count).join(',')}}`,
      `{${appends.map((append, index) => `${index + 1}${`,${index + 1}`.repeat(append.count - 1)}`).join(',')}}`,
      `{${appends.map((append) => numbersTo(append.count)).join(',')}}`,
      lines(appends, 'ids'),
      lines(appends, 'types'),
      lines(appends, 'data'),
      lines(appends, 'metadata'),
    ])
    let highest = 0n
    let events = 0
    for (const [index, { position }] of rows.entries()) {
      if (position === null) continue
      events += appends[index]?.count ?? 0
      if (position > highest) highest = position
    }
    if (highest > 0n) deps.onAppended(highest, events)
    return rows.map((row, index) => ({ result: toResult(row, appends[index]?.expected ?? 'any') }))
  }

  /** What the database refuses altogether (say, JSON nested too deep for it) fails alone, not with its neighbours. */
  const writeOrSplit = async (appends: readonly Append[]): Promise<readonly Settled[]> => {
    try {
      return await write(appends)
    } catch (error) {
      if (error instanceof EngineUnavailable) throw error
      if (appends.length === 1) return [{ error }]
      const middle = appends.length >>> 1
      return [...(await writeOrSplit(appends.slice(0, middle))), ...(await writeOrSplit(appends.slice(middle)))]
    }
  }

  const enqueue = createBatcher<Append, Settled>({
    maxItems: 512,
    concurrency: 2,
    maxWeight: 4 * maxAppendBytes,
    maxQueuedWeight: 128 * maxAppendBytes,
    weightOf: (append) => append.bytes,
    keyOf: (append) => append.stream,
    run: writeOrSplit,
  })

  return async (stream, events, expected) => {
    const settled = await enqueue(serialised(stream, events, expected))
    if ('error' in settled) throw settled.error
    return settled.result
  }
}
