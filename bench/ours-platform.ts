import { Agent, request } from 'node:http'
import { type Platform, startPlatform } from '../platform/compose.ts'
import { readConfig, rolesOf } from '../platform/config.ts'
import type { Database } from '../platform/database.ts'
import { openDatabase } from '../platform/database.ts'
import { silentLogger as logger } from '../platform/logging.ts'
import { openPostgresEventStore, type PostgresEventStore } from '../platform/postgres-event-store.ts'
import type { Bench } from './contender.ts'

export interface OursWhole {
  readonly platform: Platform
  /** Of the benchmark's own, as a second process would have them. */
  readonly database: Database
  readonly store: PostgresEventStore
  /** @throws Error when the answer is no success */
  post(path: string, body: unknown): Promise<Record<string, unknown>>
  close(): Promise<void>
}

/** The whole platform in this process, as `orderlog start` runs it, on a fresh database. */
export const openWholePlatform = async (bench: Bench): Promise<OursWhole> => {
  const { url } = await bench.createDatabase('ours')
  const config = readConfig({ DATABASE_URL: url, ORDERLOG_PORT: '0' })
  const platform = await startPlatform({ config, roles: rolesOf(config), logger })
  const database = openDatabase(url, { max: 2, logger })
  const store = openPostgresEventStore({ database, logger })
  const agent = new Agent({ keepAlive: true })
  // The plain client of Node: fetch would cost as much as the server it asks.
  const post = (path: string, body: unknown): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' }
      request(`${platform.url}${path}`, { method: 'POST', agent, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () => {
          if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(text))
          else reject(new Error(`POST ${path}: ${response.statusCode} ${text}`))
        })
      })
        .on('error', reject)
        .end(JSON.stringify(body))
    })
  return {
    platform,
    database,
    store,
    post,
    close: async () => {
      agent.destroy()
      await store.close()
      await database.close()
      await platform.stop()
    },
  }
}
