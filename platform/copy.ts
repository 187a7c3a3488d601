import { pipeline } from 'node:stream/promises'
import type { PoolClient } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { CopyOutQuery } from './copy-out-query.ts'

/** What pg sets on a query of its own making, and reads from it. */
interface TimedQuery {
  query_timeout: number
  /** Ends the watch over the timeout. */
  callback?: () => void
}

const timed = <Query extends object>(query: Query, withinMs: number): Query & TimedQuery =>
  Object.assign(query, { query_timeout: withinMs })

/**
 * Sends rows to a `COPY ... FROM STDIN`.
 *
 * @param pieces in the format that the statement says: each is asked for when the one before it is on its way
 */
export const copyIn = (
  client: PoolClient,
  statement: string,
  pieces: AsyncIterable<Buffer>,
  withinMs: number,
): Promise<void> => pipeline(pieces, client.query(timed(copyFrom(statement), withinMs)))

/** What a `COPY ... TO STDOUT` has sent, whole rows, and whether these are all of them. */
export interface CopiedOut {
  readonly pieces: readonly Buffer[]
  /** Of the pieces, so many belong to whole rows. */
  readonly bytes: number
  readonly whole: boolean
}

/** The rows in one piece. @param room as large as they are, or larger; default: memory of their own */
export const inOnePiece = ({ pieces, bytes }: CopiedOut, room: Buffer = Buffer.allocUnsafe(bytes)): Buffer => {
  let at = 0
  for (const piece of pieces) at += piece.copy(room, at, 0, bytes - at)
  return room.subarray(0, bytes)
}

/**
 * Receives what a `COPY ... TO STDOUT` sends, in whatever format.
 *
 * @param maxBytes when more has come, the last row that is whole by then ends it, or the first; the connection is of no use any
 * more after that
 */
export const copyOut = (
  client: PoolClient,
  statement: string,
  { withinMs, maxBytes }: { readonly withinMs: number; readonly maxBytes: number },
): Promise<CopiedOut> =>
  new Promise((resolve, reject) => {
    let pieces: Buffer[] = []
    let bytes = 0
    let bytesOfRows = 0
    const onData = (data: Buffer, ended: number): 'more' | 'enough' => {
      pieces.push(data)
      if (ended > 0) bytesOfRows = bytes + ended
      bytes += data.length
      if (bytes <= maxBytes || bytesOfRows === 0) return 'more'
      settle({ pieces, bytes: bytesOfRows, whole: false })
      return 'enough'
    }
    const onOutcome = (error?: Error): void => {
      if (error) reject(error)
      settle({ pieces, bytes, whole: true })
    }
    const query = client.query(timed(new CopyOutQuery(statement, onData, onOutcome), withinMs))
    const settle = (copied: CopiedOut) => {
      // pg leaves the timeout to the query, and would hold on to what was received until the next one.
      query.callback?.()
      pieces = []
      resolve(copied)
    }
  })
