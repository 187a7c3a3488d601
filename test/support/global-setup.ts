import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { silentLogger } from '../../platform/logging.ts'
import { noKafkaServer } from './kafka-server.ts'
import { nginx } from './nginx.ts'
import { hasRedisServer } from './redis-server.ts'
import { mayBreakServers } from './servers.ts'

const root = join(import.meta.dirname, '..', '..')

/**
 * The end-to-end tests run what users run: the compiled command line; and the EventStoreDB test server as a process of its
 * own. Wrong types are told by `npm run types`.
 */
const build = async (): Promise<void> => {
  const run = promisify(execFile)
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  for (const project of ['tsconfig.build.json', join('test', 'support')])
    await run(process.execPath, [compiler, '-p', project], { cwd: root }).catch(() => undefined)
  await run(process.execPath, [join('platform', 'copy-sql.mjs')], { cwd: root })
}

/** Suites that run only where something is that not every machine has, and why they are left out here. */
const needed: readonly (readonly [what: string, isThere: boolean, why: string])[] = [
  ['Redis', Boolean(process.env.ORDERLOG_TEST_REDIS_URL), 'ORDERLOG_TEST_REDIS_URL is unset'],
  ['Kafka', Boolean(process.env.ORDERLOG_TEST_KAFKA_BROKERS), 'ORDERLOG_TEST_KAFKA_BROKERS is unset'],
  ['Elasticsearch', Boolean(process.env.ORDERLOG_TEST_ELASTICSEARCH_URL), 'ORDERLOG_TEST_ELASTICSEARCH_URL is unset'],
  ['a node of EventStoreDB', Boolean(process.env.EVENTSTORE_URL), 'EVENTSTORE_URL is unset'],
  ['a Redis to kill and pause', hasRedisServer, 'redis-server is not installed'],
  ['a Kafka with TLS and passwords', noKafkaServer === '', noKafkaServer],
  ['a reverse proxy', nginx !== undefined, 'nginx is not installed'],
  ['servers to break', mayBreakServers, '`npm run test:faults` with ORDERLOG_TEST_SERVERS runs them'],
]

const tellWhatIsLeftOut = (): void => {
  for (const [what, isThere, why] of needed)
    if (!isThere) console.log(`left out: the suites that need ${what} (${why})`)
}

/** One embedded PostgreSQL for the whole run, unless the environment already names a server. */
export const setup = async (): Promise<(() => Promise<void>) | undefined> => {
  await build()
  tellWhatIsLeftOut()
  if (process.env.ORDERLOG_TEST_DATABASE_URL) return undefined
  const { startEmbeddedPostgres } = await import('../../platform/embedded-postgres.ts')
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-test-'))
  const server = await startEmbeddedPostgres({ directory, logger: silentLogger })
  process.env.ORDERLOG_TEST_DATABASE_URL = server.url
  return async () => {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
