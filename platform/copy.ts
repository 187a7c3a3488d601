import type { PoolClient } from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'

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
 * @param lines in the text format of COPY
 */
export const copyIn = (client: PoolClient, statement: string, lines: string, withinMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const stream = client.query(timed(copyFrom(statement), withinMs))
    stream.on('error', reject).on('finish', resolve)
    stream.end(lines)
  })

/** Receives what a `COPY ... TO STDOUT` sends, whole. */
export const copyOut = (client: PoolClient, statement: string, withinMs: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const stream = client.query(timed(copyTo(statement, { highWaterMark: 1_048_576 }), withinMs))
    // The library leaves the timeout to itself, and it would hold on to what was received until then.
    const settled = () => stream.callback?.()
    stream
      .on('data', (chunk: Buffer) => void chunks.push(chunk))
      .on('error', (error) => {
        settled()
        reject(error)
      })
      .on('end', () => {
        settled()
        resolve(Buffer.concat(chunks))
      })
  })

const unescapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** The fields of each row, of what `COPY ... TO STDOUT` sends in its text format. Null is none of ours. */
export const fieldsOf = (sent: Buffer): string[][] => {
  const text = sent.toString('utf8')
  const lines = text.split('\n')
  // Each line has its end.
  lines.pop()
  const rows = lines.map((line) => line.split('\t'))
  // Most texts have nothing to unescape, and looking is cheaper than replacing.
  if (!text.includes('\\')) return rows
  return rows.map((fields) =>
    fields.map((field) =>
      field.includes('\\')
        ? field.replace(/\\(.)/g, (_, character: string) => unescapes[character] ?? character)
        : field,
    ),
  )
}
