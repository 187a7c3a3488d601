import { spawn } from 'node:child_process'
import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventStoreDBClient, jsonEvent, NO_STREAM } from '@eventstore/db-client'
import { describe, expect, test } from 'vitest'
import { startEventStoreDbServer } from './eventstoredb-server.ts'
import { newStream } from './new-event.ts'
import { finished } from './platform-process.ts'

const conformance = new URL('../conformance/eventstoredb.cjs', import.meta.url).pathname

/** Runs the checks that a real node passes, in a process of their own: they judge the real client as well. */
const conforms = async (url: string) =>
  finished(
    spawn(process.execPath, [conformance], { env: { ...process.env, CS: url }, stdio: ['ignore', 'pipe', 'pipe'] }),
  )

describe('the test server for EventStoreDB', () => {
  test('passes what a real node passes, with the real client', { timeout: 120_000 }, async () => {
    const server = await startEventStoreDbServer()
    const { code, stdout, stderr } = await conforms(server.url)
    expect(stdout.split('\n').filter((line) => line.startsWith('FAIL'))).toEqual([])
    expect({ stderr, last: stdout.trim().split('\n').at(-1) }).toEqual({ stderr: '', last: '65 ok, 0 failed' })
    expect(code).toBe(0)
    await server.kill()
  })

  test('holds what it acknowledged when it is started again, and not what was cut off in the middle', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
    const file = join(directory, 'log.ndjson')
    const server = await startEventStoreDbServer({ file })
    const client = EventStoreDBClient.connectionString(server.url)
    const stream = newStream()
    const append = (expectedRevision: bigint | typeof NO_STREAM) =>
      client.appendToStream(stream, jsonEvent({ type: 'test', data: { n: 1 } }), { expectedRevision })
    const first = await append(NO_STREAM)
    await server.kill()
    await appendFile(file, '[{"stream":"torn')
    await server.start()
    expect(server.log.stream(stream)?.last()?.position).toBe(first.position?.commit)
    const second = EventStoreDBClient.connectionString(server.url)
    await second.appendToStream(stream, jsonEvent({ type: 'test', data: { n: 2 } }), { expectedRevision: 0n })
    await server.kill()
    await server.start()
    expect(server.log.stream(stream)?.last()?.revision).toBe(1n)
    await server.kill()
    await rm(directory, { recursive: true, force: true })
  })
})

describe.skipIf(!process.env.EVENTSTORE_URL)(
  `the node of EVENTSTORE_URL${process.env.EVENTSTORE_URL ? '' : ' (skipped: EVENTSTORE_URL is unset)'}`,
  () => {
    test('passes the same checks', { timeout: 300_000 }, async () => {
      const { code, stdout } = await conforms(process.env.EVENTSTORE_URL ?? '')
      expect(stdout.trim().split('\n').at(-1)).toBe('65 ok, 0 failed')
      expect(code).toBe(0)
    })
  },
)
