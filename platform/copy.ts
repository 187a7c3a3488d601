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
  readonly sent: Buffer
  readonly whole: boolean
}

export interface CopyOutOptions {
  /** The rows end with the one that takes them beyond so many. */
  readonly maxBytes: number
  /** Where rows of so many bytes are put; default: memory of their own. */
  readonly roomFor?: (bytes: number) => Buffer
}

/** Receives what a `COPY ... TO STDOUT` sends, in whatever format. The connection is of no use any more when that was not all. */
export const copyOut = (
  client: PoolClient,
  statement: string,
  { withinMs, maxBytes, roomFor }: CopyOutOptions & { readonly withinMs: number },
): Promise<CopiedOut> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    const together = (length: number): Buffer => {
      const sent = (roomFor ?? Buffer.allocUnsafe)(length).subarray(0, length)
      let at = 0
      for (const piece of pieces) at += piece.copy(sent, at)
      return sent
    }
    let bytes = 0
    let bytesOfRows = 0
    const onData = (data: Buffer, ended: number): 'more' | 'enough' => {
      pieces.push(data)
      if (ended > 0) bytesOfRows = bytes + ended
      bytes += data.length
      if (bytes <= maxBytes || bytesOfRows === 0) return 'more'
      const sent = together(bytesOfRows)
      settle()
      resolve({ sent, whole: false })
      return 'enough'
    }
    const onOutcome = (error?: Error): void => {
      if (error) reject(error)
      else resolve({ sent: together(bytes), whole: true })
      settle()
    }
    const query = client.query(timed(new CopyOutQuery(statement, onData, onOutcome), withinMs))
    // pg leaves the timeout to the query, and it would hold on to what was received until then.
    const settle = () => {
      query.callback?.()
      pieces.length = 0
    }
  })
