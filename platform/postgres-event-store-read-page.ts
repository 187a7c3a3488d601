import type { EventMetadata, StoredEvent } from '../schemas/envelope.ts'
import type { Database, Statement } from './database.ts'
import type { EventJson } from './event-store.ts'

/**
 * A page ends with the event that takes its data and metadata beyond so many bytes (UTF-8 JSON), or, read in bulk, with the
 * last that is whole by then: it is bounded by memory too, not by the number of events alone.
 */
export const maxPageBytes = 4_194_304

/**
 * A page is one row of eight texts: a row per event, and JSON parsed piece by piece, would cost the client twice as much.
 * Names have no line break, and JSON between commas is JSON again; the line breaks there are for who takes it apart.
 */
const pageOf = (condition: string, limit: string): string => `
  select string_agg(e.position::text, E'\\n') as positions, string_agg(e.stream, E'\\n') as streams,
    string_agg(e.revision::text, E'\\n') as revisions, string_agg(e.id::text, E'\\n') as ids,
    string_agg(e.type, E'\\n') as types, string_agg(e.data, E',\\n') as data,
    string_agg(e.metadata, E',\\n') as metadata,
    string_agg((date_part('epoch', e.recorded_at) * 1000)::bigint::text, E'\\n') as times, max(e.upto) as bytes
  from (
    select e.*, sum(e.size) over (order by e.position rows unbounded preceding) as upto
    from (
      select e.*, octet_length(e.data) + octet_length(e.metadata) as size
      from (
        select position, stream, revision, id, type, data::text as data, metadata::text as metadata, recorded_at
        from log.events where ${condition} order by position limit ${limit}
      ) e
    ) e
    order by e.position
  ) e
  where e.upto - e.size < ${maxPageBytes}`

/** $1 after, $2 limit */
const pageStatement: Statement = { name: 'log_page', text: pageOf('position > $1', '$2') }
/** $1 after, $2 limit, $3 last position, $4 types */
const filteredPageStatement: Statement = {
  name: 'log_filtered_page',
  text: pageOf('position > $1 and position <= $3 and type = any ($4::text[])', '$2'),
}

interface Row {
  readonly positions: string | null
  readonly streams: string
  readonly revisions: string
  readonly ids: string
  readonly types: string
  readonly data: string
  readonly metadata: string
  /** Milliseconds since 1970. */
  readonly times: string
  readonly bytes: bigint
}

let lastTime = Number.NaN
let lastIso = ''
/** Events that were appended together share their time, milliseconds since 1970, so the last answer is kept. */
export const toIso = (time: number): string => {
  if (time === lastTime) return lastIso
  lastIso = new Date(time).toISOString()
  lastTime = time
  return lastIso
}

/** There are few names and many events: with one text for each, whoever looks one up afterwards finds it at once. */
const names = new Map<string, string>()
export const nameOf = (type: string): string => {
  const known = names.get(type)
  if (known !== undefined) return known
  // Names are chosen by code; a log in which they are not must not fill the memory.
  if (names.size >= 10_000) names.clear()
  names.set(type, type)
  return type
}

/** A page by columns; `data` and `metadata` as the elements of a JSON array. */
interface Columns {
  readonly positions: readonly string[]
  readonly streams: readonly string[]
  readonly revisions: readonly string[]
  readonly ids: readonly string[]
  readonly types: readonly string[]
  readonly times: readonly string[]
  readonly data: string
  readonly metadata: string
}

const toEvents = (columns: Columns): StoredEvent[] => {
  const { positions, streams, revisions, ids, types, times } = columns
  const data = JSON.parse(`[${columns.data}]`) as unknown[]
  const metadata = JSON.parse(`[${columns.metadata}]`) as EventMetadata[]
  const at = <T>(column: readonly T[], index: number): T => {
    const value = column[index]
    if (value === undefined) throw new Error(`a page of the log that begins at ${positions[0]} is torn`)
    return value
  }
  const events = positions.map(
    (position, index): StoredEvent => ({
      position: BigInt(position),
      stream: at(streams, index),
      revision: BigInt(at(revisions, index)),
      id: at(ids, index),
      type: nameOf(at(types, index)),
      data: at(data, index),
      metadata: at(metadata, index),
      recordedAt: toIso(Number(at(times, index))),
    }),
  )
  if (streams.length !== events.length || types.length !== events.length || data.length !== events.length)
    throw new Error(`a page of the log that begins at ${events[0]?.position} is torn`)
  return events
}

const columnsOf = (row: Row, positions: string): Columns => ({
  positions: positions.split('\n'),
  streams: row.streams.split('\n'),
  revisions: row.revisions.split('\n'),
  ids: row.ids.split('\n'),
  types: row.types.split('\n'),
  times: row.times.split('\n'),
  data: row.data,
  metadata: row.metadata,
})

/** The JSON of each event; undefined when one was written by another hand, with a line break in it. */
const toJson = (row: Row, count: number): EventJson[] | undefined => {
  const data = row.data.split(',\n')
  const metadata = row.metadata.split(',\n')
  if (data.length !== count || metadata.length !== count) return undefined
  return data.map((text, index) => ({ data: text, metadata: metadata[index] ?? '' }))
}

/** What was found, and whether there may be more of it: the page is full, of events or of bytes. */
export interface Found {
  readonly events: readonly StoredEvent[]
  readonly json?: readonly EventJson[] | undefined
  readonly full: boolean
}

/** Reads events after a position, of one stretch and some types if they are given. */
export const readPage = async (
  database: Database,
  after: bigint,
  limit: number,
  options: {
    readonly only?: { readonly upTo: bigint; readonly types: readonly string[] } | undefined
    readonly withJson?: boolean | undefined
  } = {},
): Promise<Found> => {
  const { only, withJson } = options
  const [row] = await (only
    ? database.execute<Row>(filteredPageStatement, [after, limit, only.upTo, only.types])
    : database.execute<Row>(pageStatement, [after, limit]))
  if (!row || row.positions === null) return { events: [], full: false }
  const events = toEvents(columnsOf(row, row.positions))
  const json = withJson ? toJson(row, events.length) : undefined
  return { events, json, full: events.length === limit || row.bytes >= BigInt(maxPageBytes) }
}
