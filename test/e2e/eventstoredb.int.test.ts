import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cleanReport } from '../support/audit.ts'
import { startEventStoreDbServer } from '../support/eventstoredb-server.ts'
import { eventually } from '../support/eventually.ts'
import { openHome } from '../support/platform-home.ts'
import { finished } from '../support/platform-process.ts'
import { openTestDatabase } from '../support/postgres.ts'

test('with the log in EventStoreDB every order reaches its end, though the log is killed, cut and held up meanwhile', {
  timeout: 180_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
  const server = await startEventStoreDbServer({ file: join(directory, 'log.ndjson') })
  const database = await openTestDatabase({ migrated: false, max: 1 })
  const home = await openHome()
  const environment = { DATABASE_URL: database.url, EVENTSTORE_URL: server.url, ORDERLOG_LOG_LEVEL: 'error' }
  try {
    const demo = finished(home.spawn(['demo', '--orders', '80', '--json'], environment))
    const grown = (events: number) =>
      eventually(
        async () => server.log.all.length,
        (length) => length >= events,
        { withinMs: 120_000, what: 'the log to grow' },
      )
    await grown(300)
    await server.kill()
    await server.start()
    await grown(600)
    server.resetConnections()
    server.silenceSubscriptions()
    await grown(900)
    server.closeSubscriptions()
    server.repeatEvents(2)

    const { code, stdout, stderr } = await demo
    const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
    expect(summary).toMatchObject({ orders: 80, engines: { eventStore: 'EventStoreDB' }, audit: cleanReport })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  } finally {
    await home.close()
    await server.kill()
    await database.drop()
    await rm(directory, { recursive: true, force: true })
  }
})
