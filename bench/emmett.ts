import { createRequire } from 'node:module'
import { StartupError } from '../platform/failures.ts'
import type { Bench } from './contender.ts'
import type { Dumbo, Emmett, EmmettPostgres, PostgresEventStore } from './emmett-api.ts'
import { openPool } from './raw-log.ts'

/** The compiled benchmark lives in dist/bench, its peers in bench/node_modules: an ordinary import would not find them. */
const require = createRequire(new URL('../../bench/package.json', import.meta.url))

const load = <Module>(name: string): Module => {
  try {
    return require(name) as Module
  } catch (cause) {
    throw new StartupError('The peers are not installed: run `npm ci --prefix bench` first.', { cause })
  }
}

export const emmett = () => load<Emmett>('@event-driven-io/emmett')
export const emmettPostgres = () => load<EmmettPostgres>('@event-driven-io/emmett-postgresql')
export const dumbo = () => load<Dumbo>('@event-driven-io/dumbo')

export interface OpenEmmett {
  readonly url: string
  readonly store: PostgresEventStore
  close(): Promise<void>
}

/**
 * Emmett's own event store on a fresh database, with a pool of 10 connections: its default, and of 10, 20, 32 and 64
 * the size at which it is fastest in every row.
 */
export const openEmmett = async (bench: Bench): Promise<OpenEmmett> => {
  const { url } = await bench.createDatabase('emmett')
  const pool = openPool(url, 10)
  const store = emmettPostgres().getPostgreSQLEventStore(url, { connectionOptions: { pool } })
  await store.schema.migrate()
  return {
    url,
    store,
    close: async () => {
      await store.close()
      if (!pool.ended) await pool.end()
    },
  }
}
