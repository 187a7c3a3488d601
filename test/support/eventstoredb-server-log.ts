import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import {
  type Expected,
  type Proposed,
  type Recorded,
  type StreamState,
  streamState,
} from './eventstoredb-server-stream.ts'

export type Written =
  | { readonly outcome: 'written'; readonly revision: bigint | 'none'; readonly position: bigint }
  | { readonly outcome: 'wrong-version'; readonly expected: Expected; readonly actual: bigint | 'none' }
  | { readonly outcome: 'deleted' }
  | { readonly outcome: 'too-large' }

export const maxAppendSize = 1_048_576

/** What a real node counts of an event against the size of its append. */
const sizeOf = (event: Proposed): number => event.data.length + event.metadata.length + 2 * event.type.length

/** The log of the test server: what a node decides about appends, in memory and, when a file is named, in that file. */
export interface ServerLog {
  readonly all: readonly Recorded[]
  /** Where the next record will begin. */
  end(): bigint
  stream(name: string): StreamState | undefined
  append(stream: string, expected: Expected, events: readonly Proposed[]): Written
  tombstone(stream: string, expected: Expected): Written
  softDelete(stream: string, expected: Expected): Written
  /** Calls back after every append until the function that it returns is called. */
  onAppended(listener: () => void): () => void
  close(): void
}

interface JournalEvent extends Omit<Recorded, 'data' | 'metadata' | 'revision' | 'position'> {
  readonly revision: string
  readonly position: string
  readonly data: string
  readonly metadata: string
}

const toJournal = (event: Recorded): JournalEvent => ({
  ...event,
  revision: String(event.revision),
  position: String(event.position),
  data: Buffer.from(event.data).toString('base64'),
  metadata: Buffer.from(event.metadata).toString('base64'),
})

const fromJournal = (event: JournalEvent): Recorded => ({
  ...event,
  revision: BigInt(event.revision),
  position: BigInt(event.position),
  data: Buffer.from(event.data, 'base64'),
  metadata: Buffer.from(event.metadata, 'base64'),
})

/** Reads what was written whole; what a crash cut off is cut off the file as well. */
const readJournal = (file: string): Recorded[] => {
  if (!existsSync(file)) return []
  const bytes = readFileSync(file)
  const whole = bytes.lastIndexOf(10) + 1
  if (whole < bytes.length) truncateSync(file, whole)
  const lines = bytes.toString('utf8', 0, whole).split('\n').slice(0, -1)
  return lines.flatMap((line) => (JSON.parse(line) as JournalEvent[]).map(fromJournal))
}

const encode = (value: string): Uint8Array => Buffer.from(value, 'utf8')

/** A node's own first events: whoever reads all has to pass over them. */
const firstEvents: readonly Proposed[] = [
  { id: '00000000-0000-4000-8000-000000000001', type: '$UserCreated', data: encode('{"loginName":"admin"}') },
  { id: '00000000-0000-4000-8000-000000000002', type: '$UserCreated', data: encode('{"loginName":"ops"}') },
].map((event) => ({ ...event, contentType: 'application/json', metadata: new Uint8Array() }))

/** @param file an append-only file that survives the process; none: the log is lost with the process */
export const openServerLog = (file?: string): ServerLog => {
  const all: Recorded[] = []
  const streams = new Map<string, StreamState>()
  // Forgotten with the process, as a real node forgets: afterwards `any` no longer recognises a repeat.
  const committed = new Map<string, Recorded>()
  const listeners = new Set<() => void>()
  let end = 0n

  const stateOf = (name: string): StreamState => {
    let state = streams.get(name)
    if (!state) {
      state = streamState()
      streams.set(name, state)
    }
    return state
  }

  const record = (event: Recorded): void => {
    all.push(event)
    end = event.position + BigInt(sizeOf(event) + 2 * event.stream.length + 96)
    const state = stateOf(event.stream)
    state.record(event)
    if (event.stream.startsWith('$$')) stateOf(event.stream.slice(2)).configure(event)
  }

  for (const event of file ? readJournal(file) : []) record(event)
  const journal = file ? openSync(file, 'a') : undefined

  const write = (stream: string, events: readonly Proposed[]): Recorded[] => {
    const created = Date.now()
    const recorded: Recorded[] = []
    let revision = (stateOf(stream).last()?.revision ?? -1n) + 1n
    let position = end
    for (const event of events) {
      const next: Recorded = { ...event, stream, revision, position, created }
      recorded.push(next)
      revision += 1n
      position += BigInt(sizeOf(next) + 2 * stream.length + 96)
    }
    if (journal !== undefined && recorded.length > 0) writeSync(journal, `${JSON.stringify(recorded.map(toJournal))}\n`)
    for (const event of recorded) {
      record(event)
      committed.set(event.id, event)
    }
    return recorded
  }

  const announce = (): void => {
    for (const listener of listeners) listener()
  }

  const configure = (stream: string, settings: string): void => {
    const id = crypto.randomUUID()
    const data = encode(settings)
    write(`$$${stream}`, [{ id, type: '$metadata', contentType: 'application/json', data, metadata: new Uint8Array() }])
  }

  const append: ServerLog['append'] = (stream, expected, events) => {
    const state = stateOf(stream)
    const verdict = state.judge(
      expected,
      events.map(({ id }) => id),
      (id) => (committed.get(id)?.stream === stream ? committed.get(id) : undefined),
    )
    if (verdict.verdict === 'deleted') return { outcome: 'deleted' }
    if (verdict.verdict === 'wrong-version')
      return { outcome: 'wrong-version', expected, actual: state.last()?.revision ?? 'none' }
    if (events.reduce((size, event) => size + sizeOf(event), 0) > maxAppendSize) return { outcome: 'too-large' }
    const known = verdict.verdict === 'repeat' ? verdict.last : undefined
    const revived = !known && state.isSoftDeleted() ? (state.last()?.revision ?? -1n) + 1n : undefined
    const last = known ?? write(stream, events).at(-1) ?? state.last()
    if (revived !== undefined) configure(stream, `{"$tb":${revived}}`)
    announce()
    return { outcome: 'written', revision: last?.revision ?? 'none', position: last?.position ?? end }
  }

  const remove = (stream: string, expected: Expected, how: () => void): Written => {
    const state = stateOf(stream)
    const { verdict } = state.judge(expected, [], () => undefined)
    if (verdict === 'deleted') return { outcome: 'deleted' }
    if (verdict !== 'write') return { outcome: 'wrong-version', expected, actual: state.last()?.revision ?? 'none' }
    how()
    announce()
    return { outcome: 'written', revision: state.last()?.revision ?? 'none', position: all.at(-1)?.position ?? end }
  }

  if (all.length === 0) write('$users', firstEvents)

  return {
    all,
    end: () => end,
    stream: (name) => streams.get(name),
    append,
    tombstone: (stream, expected) =>
      remove(stream, expected, () => {
        const event = { id: crypto.randomUUID(), type: '$streamDeleted', contentType: 'application/octet-stream' }
        write(stream, [{ ...event, data: new Uint8Array(), metadata: new Uint8Array() }])
      }),
    softDelete: (stream, expected) => remove(stream, expected, () => configure(stream, '{"$tb":9223372036854775807}')),
    onAppended: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close: () => {
      if (journal !== undefined) closeSync(journal)
    },
  }
}
