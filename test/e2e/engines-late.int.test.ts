import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'
import { becomesReady } from '../support/becomes-ready.ts'
import { openHangingProxy } from '../support/hanging-proxy.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import { ready } from '../support/platform-process.ts'
import { openTestDatabase, type TestDatabase } from '../support/postgres.ts'

let home: PlatformHome
let database: TestDatabase
/** Of a PostgreSQL that does not run yet. */
let address: URL

beforeEach(async () => {
  home = await openHome()
  database = await openTestDatabase({ migrated: false, max: 1 })
  address = new URL(database.url)
  address.hostname = '127.0.0.1'
  address.port = String(await choosePort())
})
afterEach(async () => {
  await home.close()
  await database.drop()
})

const startWaiting = async (name = 'PostgreSQL', environment: Readonly<Record<string, string>> = {}) => {
  const child = home.spawn(['start'], {
    ...{ DATABASE_URL: address.href, ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info' },
    ...environment,
  })
  const isReady = ready(child)
  const waits = new Promise<string>((resolve) => {
    if (child.stderr)
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (line.includes(`waiting for ${name}`)) resolve(line)
      })
  })
  return { child, isReady, line: await waits }
}

test('a PostgreSQL that comes up later is waited for, and the log says so', async () => {
  const { isReady, line } = await startWaiting()
  expect(JSON.parse(line)).toMatchObject({
    variable: 'DATABASE_URL',
    host: address.host,
    reason: expect.stringContaining('ECONNREFUSED'),
    msg: `waiting for PostgreSQL on ${address.host} (DATABASE_URL)`,
  })
  const proxy = await openHangingProxy(database.url, Number(address.port))
  const platform = await isReady
  await becomesReady(platform.url)
  expect(await platform.kill('SIGTERM')).toBe(0)
  await proxy.close()
})

const secret = 'xK9-open-sesame'

test('an EventStoreDB that is away is waited for by variable and host, and its password is not told', async () => {
  const { child, isReady, line } = await startWaiting('EventStoreDB', {
    DATABASE_URL: database.url,
    EVENTSTORE_URL: `esdb://ada:${secret}@127.0.0.1:1?tls=true`,
  })
  isReady.catch(() => undefined)
  expect(JSON.parse(line)).toMatchObject({
    ...{ variable: 'EVENTSTORE_URL', host: '127.0.0.1:1', reason: expect.stringContaining('ECONNREFUSED') },
    msg: 'waiting for EventStoreDB on 127.0.0.1:1 (EVENTSTORE_URL)',
  })
  expect(line).not.toContain(secret)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect((await exited)[0]).toBe(0)
})

test('the engines that a start goes on without are told of by variable and hosts, and no password is', async () => {
  const platform = await home.start([], {
    ...{ DATABASE_URL: database.url, ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info' },
    ...{ KAFKA_BROKERS: '127.0.0.1:1,127.0.0.1:2', KAFKA_SASL_MECHANISM: 'plain' },
    ...{ KAFKA_USERNAME: 'ada', KAFKA_PASSWORD: secret },
    REDIS_URL: `redis://ada:${secret}@127.0.0.1:1`,
    ELASTICSEARCH_URL: `http://ada:${secret}@127.0.0.1:1`,
  })
  const told = platform.log
    .map((line) => JSON.parse(line) as { msg: string; variable?: string; host?: string; reason?: string })
    .filter(({ msg }) => msg.endsWith('which does not answer'))
  expect(told.map(({ msg, variable, host }) => [msg, variable, host])).toEqual([
    [
      'projections and sagas wait for Kafka on 127.0.0.1:1,127.0.0.1:2 (KAFKA_BROKERS), which does not answer',
      ...['KAFKA_BROKERS', '127.0.0.1:1,127.0.0.1:2'],
    ],
    [
      'the leaderboards wait for Redis on 127.0.0.1:1 (REDIS_URL), which does not answer',
      ...['REDIS_URL', '127.0.0.1:1'],
    ],
    [
      'searches wait for Elasticsearch on 127.0.0.1:1 (ELASTICSEARCH_URL), which does not answer',
      ...['ELASTICSEARCH_URL', '127.0.0.1:1'],
    ],
  ])
  for (const { reason } of told) expect(reason).toContain('ECONNREFUSED')
  expect(platform.log.join('\n')).not.toContain(secret)
})

test('a start that waits ends when it is told to', async () => {
  const { child, isReady } = await startWaiting()
  isReady.catch(() => undefined)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect((await exited)[0]).toBe(0)
})
