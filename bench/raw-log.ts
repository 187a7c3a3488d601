import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Bench } from './contender.ts'

/** An event log as a hand would write it: one table and nothing around it. */
const ddl = `
create table events (
  position bigserial primary key,
  stream text not null,
  revision bigint not null,
  id uuid not null,
  type text not null,
  data jsonb not null,
  recorded_at timestamptz not null default now(),
  unique (stream, revision)
)`

/** A pool that outlives the end of the server: an interrupted benchmark ends without a stack trace. */
export const openPool = (connectionString: string, connections: number): pg.Pool =>
  new pg.Pool({ connectionString, max: connections }).on('error', () => undefined)

export const openRawPool = async (bench: Bench, connections: number): Promise<pg.Pool> =>
  openPool((await bench.createDatabase('raw')).url, connections)

/** One connection per caller up to 64: what a server takes without a pooler in front of it. */
export const openRawLog = async (bench: Bench, callers: number): Promise<pg.Pool> => {
  const pool = await openRawPool(bench, Math.min(callers, 64))
  await pool.query(ddl)
  return pool
}

/** One autocommit INSERT of one event. */
export const insertEvent = (
  pool: pg.Pool,
  stream: string,
  revision: number,
  event: { readonly type: string; readonly data: object },
): Promise<unknown> =>
  pool.query({
    name: 'insert-event',
    text: 'insert into events (stream, revision, id, type, data) values ($1, $2, $3, $4, $5)',
    values: [stream, revision, randomUUID(), event.type, event.data],
  })
