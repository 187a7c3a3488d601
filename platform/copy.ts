import { isAscii } from 'node:buffer'
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

const rowEnd = 0x0a

/**
 * Receives what a `COPY ... TO STDOUT` sends in its text format.
 *
 * @param maxBytes the rows end with the one that takes them beyond so many; the connection is of no use any more when there
 * were others
 */
export const copyOut = (
  client: PoolClient,
  statement: string,
  { withinMs, maxBytes }: { readonly withinMs: number; readonly maxBytes: number },
): Promise<CopiedOut> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    let bytes = 0
    const onData = (data: Buffer): 'more' | 'enough' => {
      pieces.push(data)
      bytes += data.length
      if (bytes <= maxBytes || !data.includes(rowEnd)) return 'more'
      const sent = Buffer.concat(pieces)
      settle()
      resolve({ sent: sent.subarray(0, sent.lastIndexOf(rowEnd) + 1), whole: false })
      return 'enough'
    }
    const onOutcome = (error?: Error): void => {
      if (error) reject(error)
      else resolve({ sent: Buffer.concat(pieces), whole: true })
      settle()
    }
    const query = client.query(timed(new CopyOutQuery(statement, onData, onOutcome), withinMs))
    // pg leaves the timeout to the query, and it would hold on to what was received until then.
    const settle = () => {
      query.callback?.()
      pieces.length = 0
    }
  })

const unescapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

const unescaped = (field: string): string =>
  field.includes('\\') ? field.replace(/\\(.)/g, (_, character: string) => unescapes[character] ?? character) : field

/**
 * The rows of what `COPY ... TO STDOUT` sends in its text format, each made from its fields. Null is none of ours.
 *
 * @param toRow is given `field(n)`, the nth field from 0, while it is called: a field is only made when it is asked for
 */
export const rowsOf = <Row>(sent: Buffer, toRow: (field: (n: number) => string) => Row): Row[] => {
  // Most of a log is ASCII, of which a string is made by copying it.
  const text = sent.toString(isAscii(sent) ? 'latin1' : 'utf8')
  const plain = !text.includes('\\')
  const rows: Row[] = []
  /** Where each field begins, and the next row. */
  const begins: number[] = []
  const field = (n: number): string => {
    const raw = text.slice(begins[n], (begins[n + 1] ?? 0) - 1)
    return plain ? raw : unescaped(raw)
  }
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    if (end < 0) throw new Error('what COPY sent ends within a row')
    let count = 0
    for (let from = at; from <= end; count += 1) {
      begins[count] = from
      const tab = text.indexOf('\t', from)
      from = (tab < 0 || tab > end ? end : tab) + 1
    }
    begins[count] = end + 1
    rows.push(toRow(field))
    at = end + 1
  }
  return rows
}
