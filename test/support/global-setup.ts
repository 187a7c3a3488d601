import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { silentLogger } from '../../platform/logging.ts'

const root = join(import.meta.dirname, '..', '..')

/** The end-to-end tests run what users run: the compiled command line. Wrong types are told by `npm run types`. */
const build = async (): Promise<void> => {
  const run = promisify(execFile)
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  await run(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root }).catch(() => undefined)
  await run(process.execPath, [join('platform', 'copy-sql.mjs')], { cwd: root })
}

/** The engines whose suites run only where a server is named. */
const variables = {
  Redis: 'ORDERLOG_TEST_REDIS_URL',
  Kafka: 'ORDERLOG_TEST_KAFKA_BROKERS',
  Elasticsearch: 'ORDERLOG_TEST_ELASTICSEARCH_URL',
}

const tellWhatIsLeftOut = (): void => {
  for (const [engine, variable] of Object.entries(variables))
    if (!process.env[variable]) console.log(`left out: the suites that need ${engine} (${variable} is unset)`)
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
