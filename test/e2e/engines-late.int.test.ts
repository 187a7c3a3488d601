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

const startWaiting = async () => {
  const child = home.spawn(['start'], { DATABASE_URL: address.href, ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'info' })
  const isReady = ready(child)
  const waits = new Promise<string>((resolve) => {
    if (child.stderr)
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (line.includes('waiting for PostgreSQL')) resolve(line)
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
  })
  const proxy = await openHangingProxy(database.url, Number(address.port))
  const platform = await isReady
  await becomesReady(platform.url)
  expect(await platform.kill('SIGTERM')).toBe(0)
  await proxy.close()
})

test('a start that waits ends when it is told to', async () => {
  const { child, isReady } = await startWaiting()
  isReady.catch(() => undefined)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect((await exited)[0]).toBe(0)
})
