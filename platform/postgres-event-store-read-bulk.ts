import pg from 'pg'
import type { EventMetadata, StoredEvent } from '../schemas/envelope.ts'
import { copiedRows } from './copied-rows.ts'
import { inOnePiece } from './copy.ts'
import type { Database } from './database.ts'
import type { EventJson } from './event-store.ts'
import { type Found, maxPageBytes, nameOf, toIso } from './postgres-event-store-read-page.ts'
import { ofShare, type StreamShare } from './stream-share.ts'
import { unreadId, unreadMetadata, unreadTime } from './unread-metadata.ts'

const bareRow = {
  columns: 'position, revision, stream, type, data',
  shape: { integers: 2, texts: 2, documents: 1 },
}
const wholeRow = {
  columns: `position, revision, (date_part('epoch', recorded_at) * 1000)::bigint, stream, type, id::text, data, metadata`,
  shape: { integers: 3, texts: 3, documents: 2 },
}

interface BulkOptions {
  readonly only?: { readonly upTo: bigint; readonly types: readonly string[] } | undefined
  readonly withJson?: boolean | undefined
  readonly withoutMetadata?: boolean | undefined
  readonly share?: StreamShare | undefined
}

/** A function of its own: what waits for rows must not hold on to the events of those before. */
const pageOf = (sent: Buffer, { withJson = false, withoutMetadata = false }: BulkOptions): Omit<Found, 'full'> => {
  const { shape } = withoutMetadata ? bareRow : wholeRow
  const { count, integers, values, documents } = copiedRows(sent, shape, withJson && !withoutMetadata)
  const integer = (row: number, column: number): bigint => integers[row * shape.integers + column] ?? 0n
  const value = (row: number, column: number): unknown => values[row * (shape.texts + shape.documents) + column]
  const text = value as (row: number, column: number) => string
  const events: StoredEvent[] = []
  for (let row = 0; row < count; row += 1)
    events.push({
      position: integer(row, 0),
      stream: text(row, 0),
      revision: integer(row, 1),
      id: withoutMetadata ? unreadId : text(row, 2),
      type: nameOf(text(row, 1)),
      data: value(row, shape.texts),
      metadata: withoutMetadata ? unreadMetadata : (value(row, shape.texts + 1) as EventMetadata),
      recordedAt: withoutMetadata ? unreadTime : toIso(Number(integer(row, 2))),
    })
  // A line break in it was written by another hand.
  if (!withJson || withoutMetadata || documents.some((document) => document.includes('\n'))) return { events }
  const json = events.map(
    (_, row): EventJson => ({ data: documents[2 * row] ?? '', metadata: documents[2 * row + 1] ?? '' }),
  )
  return { events, json }
}

/**
 * Reads pages as the rows of a COPY: no plan is kept for it, but each event costs PostgreSQL and us little more than half.
 * That a page is bounded by bytes is seen to here, as the server would have to measure every event first.
 */
export const createBulkPages = (database: Pick<Database, 'copyOut'>) => {
  /** Of the last page: what is cut off costs a connection, so less is asked for than would just fit. */
  let bytesPerEvent = 1
  /** Of the last page, for the next: memory that comes and goes counts as much as events do when V8 asks whether to collect. */
  let spare: Buffer | undefined
  const takeRoom = (bytes: number): Buffer => {
    const room = spare !== undefined && spare.length >= bytes ? spare : Buffer.allocUnsafeSlow(bytes + (bytes >>> 2))
    // Nobody else may have it meanwhile.
    spare = undefined
    return room
  }

  return async (after: bigint, limit: number, options: BulkOptions): Promise<Found> => {
    const { only, withoutMetadata, share } = options
    const types = only?.types.map((type) => pg.escapeLiteral(type)).join(', ')
    const filter = only ? ` and position <= ${only.upTo} and type = any (array[${types}]::text[])` : ''
    const shared = share && share.of > 1 ? ` and ${ofShare(share)}` : ''
    const wanted = Math.max(1, Math.min(limit, Math.floor((0.75 * maxPageBytes) / bytesPerEvent)))
    const { columns } = withoutMetadata ? bareRow : wholeRow
    const copied = await database.copyOut(
      `copy (
        select ${columns} from log.events where position > ${after}${filter}${shared} order by position limit ${wanted}
      ) to stdout with (format binary)`,
      maxPageBytes,
    )
    const room = takeRoom(copied.bytes)
    const page = pageOf(inOnePiece(copied, room), options)
    // A single event may be far larger than a page.
    if (room.length <= 2 * maxPageBytes) spare = room
    const count = page.events.length
    // It would pass for the end of the log.
    if (count === 0 && !copied.whole) throw new Error(`a page of the log after ${after} was cut before its first event`)
    if (count > 0) bytesPerEvent = Math.max(1, copied.bytes / count)
    return { ...page, full: count === wanted || !copied.whole }
  }
}
