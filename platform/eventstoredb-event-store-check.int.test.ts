import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startEventStoreDbServer } from '../test/support/eventstoredb-server.ts'
import { testCertificate } from '../test/support/eventstoredb-server-certificate.ts'
import { eventually } from '../test/support/eventually.ts'
import { newEvents, newStream } from '../test/support/new-event.ts'
import { waitForEngine } from './engine-wait.ts'
import { openEventStoreDbEventStore } from './eventstoredb-event-store.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { silentLogger } from './logging.ts'

const credentials = 'admin:changeit'

/** Opens, waits, and gives back why it could not. */
const refusal = async (url: string): Promise<Error> => {
  const store = openEventStoreDbEventStore({ url, logger: silentLogger })
  try {
    return await store.check().then(
      () => new Error('it was not refused'),
      (error: Error) => error,
    )
  } finally {
    await store.close()
  }
}

describe('starting with EventStoreDB', () => {
  let directory: string
  let certificateFile: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
    certificateFile = join(directory, 'ca.pem')
    await writeFile(certificateFile, testCertificate.certificate)
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  const secured = async () => {
    const server = await startEventStoreDbServer({ tls: testCertificate, credentials })
    const url = (user: string, options = `&tlsCAFile=${encodeURIComponent(certificateFile)}`) =>
      `esdb://${user}@127.0.0.1:${server.port}?tls=true${options}`
    return { server, url }
  }

  test('an encrypted server with the right user serves', async () => {
    const { server, url } = await secured()
    const store = openEventStoreDbEventStore({ url: url(credentials), logger: silentLogger })
    await store.check()
    const stream = newStream()
    expect(await store.append(stream, newEvents(2), 'none')).toMatchObject({ outcome: 'appended', revision: 1n })
    expect((await store.readStream(stream)).events).toHaveLength(2)
    await store.close()
    await server.kill()
  })

  test('a wrong password is one sentence with variable and host, without the password', async () => {
    const { server, url } = await secured()
    const error = await refusal(url('admin:wrong-password'))
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toContain(`EVENTSTORE_URL names an EventStoreDB on 127.0.0.1:${server.port} that refuses`)
    expect(error.message).not.toContain('wrong-password')
    await server.kill()
  })

  test('a certificate that nobody vouches for is one sentence', async () => {
    const { server, url } = await secured()
    const error = await refusal(url(credentials, ''))
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toContain(`EVENTSTORE_URL names an EventStoreDB on 127.0.0.1:${server.port} that cannot be`)
    await server.kill()
  })

  test('TLS with a server that speaks none is one sentence', async () => {
    const server = await startEventStoreDbServer()
    const error = await refusal(`esdb://127.0.0.1:${server.port}?tls=true`)
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toContain('see tls and tlsCAFile')
    await server.kill()
  })

  test('a server too old is one sentence with its version', async () => {
    const server = await startEventStoreDbServer({ version: '21.10.2.0' })
    const error = await refusal(server.url)
    expect(error).toBeInstanceOf(StartupError)
    expect(error.message).toContain('EventStoreDB 21.10.2.0')
    await server.kill()
  })

  test('a server that comes up late is waited for, and the log says so', async () => {
    const server = await startEventStoreDbServer()
    await server.kill()
    const lines: string[] = []
    const logger = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
    const store = openEventStoreDbEventStore({ url: server.url, logger })
    await expect(store.check()).rejects.toThrow(EngineUnavailable)
    const engine = { name: 'EventStoreDB', variable: 'EVENTSTORE_URL', host: store.hosts }
    const stopping = new AbortController().signal
    const waited = waitForEngine(engine, store.check, { waitMs: 30_000, logger, stopping })
    await eventually(
      async () => lines.map((line) => JSON.parse(line)),
      (said) => said.length > 0,
    )
    await server.start()
    await waited
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      variable: 'EVENTSTORE_URL',
      host: `127.0.0.1:${server.port}`,
      reason: expect.stringContaining('ECONNREFUSED'),
      msg: `waiting for EventStoreDB on 127.0.0.1:${server.port} (EVENTSTORE_URL)`,
    })
    expect(await store.identity()).toBe(await store.identity())
    await store.close()
    await server.kill()
  })
})
