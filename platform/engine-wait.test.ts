import { describe, expect, test } from 'vitest'
import { waitForEngine } from './engine-wait.ts'
import { EngineUnavailable, StartupError } from './failures.ts'
import { silentLogger } from './logging.ts'

const engine = { name: 'EventStoreDB', variable: 'EVENTSTORE_URL', host: 'log:2113' }
const away = () => Promise.reject(new EngineUnavailable('EventStoreDB', new Error('connect ECONNREFUSED')))
const patient = { waitMs: 60_000, logger: silentLogger, stopping: new AbortController().signal }

describe('an engine that a start needs', () => {
  test('is waited for until it answers, and the log says so once', async () => {
    const said: string[] = []
    let tries = 0
    const logger = { ...silentLogger, warn: (_: unknown, sentence: string) => said.push(sentence) }
    const attempt = () => (++tries < 4 ? away() : Promise.resolve('there'))
    expect(await waitForEngine(engine, attempt, { ...patient, logger: logger as never })).toBe('there')
    expect(said).toEqual(['waiting for EventStoreDB on log:2113 (EVENTSTORE_URL)'])
  })

  test('is given up after the time that was set, in one sentence', async () => {
    const waiting = waitForEngine(engine, away, { ...patient, waitMs: 0 })
    await expect(waiting).rejects.toThrow(StartupError)
    await expect(waiting).rejects.toThrow(
      'EVENTSTORE_URL names an EventStoreDB on log:2113 that cannot be used: connect ECONNREFUSED.',
    )
  })

  test('is given up at once when waiting cannot help', async () => {
    const refused = () => Promise.reject(new Error('password authentication failed'))
    await expect(waitForEngine(engine, refused, patient)).rejects.toThrow(/cannot be used: password auth/)
    const tooOld = () => Promise.reject(new StartupError('EventStoreDB 5 is too old.'))
    await expect(waitForEngine(engine, tooOld, patient)).rejects.toThrow(/^EventStoreDB 5 is too old\.$/)
  })

  test('is no longer waited for when the process is told to stop', async () => {
    const stop = new AbortController()
    const waiting = waitForEngine(engine, away, { ...patient, stopping: stop.signal })
    stop.abort()
    await expect(waiting).rejects.toThrow(StartupError)
  })
})
