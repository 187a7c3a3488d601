import pg from 'pg'
import type { StoredEvent } from '../schemas/envelope.ts'
import { rowsOf } from './copy.ts'
import type { Database } from './database.ts'
import type { EventJson } from './event-store.ts'
import { type Found, maxPageBytes, nameOf, toIso } from './postgres-event-store-read-page.ts'
import { ofShare, type StreamShare } from './stream-share.ts'
import { unreadId, unreadMetadata, unreadTime } from './unread-metadata.ts'

/**
 * Reads pages as the rows of a COPY: no plan is kept for it, but each event costs PostgreSQL and us little more than half.
 * That a page is bounded by bytes is seen to here, as the server would have to measure every event first.
 */
export const createBulkPages = (database: Pick<Database, 'copyOut'>) => {
  /** Of the last page: what is cut off costs a connection, so less is asked for than would just fit. */
  let bytesPerEvent = 1

  return async (
    after: bigint,
    limit: number,
    options: {
      readonly only?: { readonly upTo: bigint; readonly types: readonly string[] } | undefined
      readonly withJson?: boolean | undefined
      readonly withoutMetadata?: boolean | undefined
      readonly share?: StreamShare | undefined
    },
  ): Promise<Found> => {
    const { only, withJson, withoutMetadata, share } = options
    const types = only?.types.map((type) => pg.escapeLiteral(type)).join(', ')
    const filter = only ? ` and position <= ${only.upTo} and type = any (array[${types}]::text[])` : ''
    const shared = share && share.of > 1 ? ` and ${ofShare(share)}` : ''
    const wanted = Math.max(1, Math.min(limit, Math.floor((0.75 * maxPageBytes) / bytesPerEvent)))
    const { sent, whole } = await database.copyOut(
      `copy (
        select position, stream, revision, type, data
          ${withoutMetadata ? '' : ", metadata, (date_part('epoch', recorded_at) * 1000)::bigint, id"}
        from log.events where position > ${after}${filter}${shared} order by position limit ${wanted}
      ) to stdout`,
      maxPageBytes,
    )
    const json: EventJson[] = []
    let isWhole = true
    const events = rowsOf(sent, (field): StoredEvent => {
      const data = field(4)
      const metadata = withoutMetadata ? '' : field(5)
      if (withJson) {
        json.push({ data, metadata })
        // Written by another hand.
        if (data.includes('\n') || metadata.includes('\n')) isWhole = false
      }
      return {
        position: BigInt(field(0)),
        stream: field(1),
        revision: BigInt(field(2)),
        id: withoutMetadata ? unreadId : field(7),
        type: nameOf(field(3)),
        data: JSON.parse(data),
        metadata: withoutMetadata ? unreadMetadata : JSON.parse(metadata),
        recordedAt: withoutMetadata ? unreadTime : toIso(field(6)),
      }
    })
    if (events.length > 0) bytesPerEvent = Math.max(1, sent.length / events.length)
    const full = events.length === wanted || !whole
    return { events, json: withJson && isWhole && !withoutMetadata ? json : undefined, full }
  }
}
