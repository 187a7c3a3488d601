import { Agent, request } from 'node:http'
import { type Platform, startPlatform } from '../platform/compose.ts'
import { readConfig, rolesOf } from '../platform/config.ts'
import type { Database } from '../platform/database.ts'
import { openDatabase } from '../platform/database.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import type { Bench } from './contender.ts'

export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: what an answer holds is for who asks to say
  readonly body: any
}

export interface OursWhole {
  readonly platform: Platform
  /** Of the benchmark's own, as a second process would have them. */
  readonly database: Database
  readonly store: PostgresEventStore
  /** @throws Error when the answer is no success */
  post(path: string, body: unknown): Promise<Record<string, unknown>>
  /** The answer, whatever its status. */
  get(path: string): Promise<Answer>
  close(): Promise<void>
}

/**
 * The whole platform in this process, as `orderlog start` runs it, on a fresh database.
 *
 * @param engines variables that name other engines than PostgreSQL, such as KAFKA_BROKERS, and ORDERLOG_NAMESPACE
 * @param before fills the database before the platform starts
 */
export const openWholePlatform = async (
  bench: Bench,
  engines: Readonly<Record<string, string>> = {},
  before: (url: string) => Promise<void> = async () => undefined,
): Promise<OursWhole> => {
  const { url } = await bench.createDatabase('ours')
  await before(url)
  const config = readConfig({ DATABASE_URL: url, ORDERLOG_PORT: '0', ...engines })
  const platform = await startPlatform({ config, roles: rolesOf(config), logger })
  const database = openDatabase(url, { max: 2, logger })
  const store = openPostgresEventStore({ database, logger })
  const agent = new Agent({ keepAlive: true })
  // The plain client of Node: fetch would cost as much as the server it asks.
  const ask = (method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' }
      request(`${platform.url}${path}`, { method, agent, ...(body ? { headers } : {}) }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('error', reject).on('end', () => {
          resolve({ status: response.statusCode ?? 500, body: JSON.parse(text) })
        })
      })
        .on('error', reject)
        .end(body ? JSON.stringify(body) : undefined)
    })
  const post = async (path: string, body: unknown) => {
    const answer = await ask('POST', path, body)
    if (answer.status >= 300) throw new Error(`POST ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  return {
    platform,
    database,
    store,
    post,
    get: (path) => ask('GET', path),
    close: async () => {
      agent.destroy()
      await store.close()
      await database.close()
      await platform.stop()
    },
  }
}
