import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface EventStoreDb {
  readonly url: string
  /** What the numbers were measured on. */
  readonly note: string
  close(): Promise<void>
}

/** Emitted beside the benchmark by bench/tsconfig.json. */
const testServer = new URL('../test/support/eventstoredb-server-main.js', import.meta.url).pathname

const startTestServer = async (): Promise<EventStoreDb> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-bench-esdb-'))
  const child = spawn(process.execPath, [testServer, '0', join(directory, 'log.ndjson')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const [url] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`the test server for EventStoreDB ended with ${code}`))),
  ])) as [string]
  return {
    url,
    note: 'on the test server of test/support, in a process of its own and on disk, not on EventStoreDB; EVENTSTORE_URL names a node',
    close: async () => {
      child.kill()
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}

let users = 0
let shared: Promise<EventStoreDb> | undefined

/** The node of EVENTSTORE_URL or a test server, the same for all contenders that have it open. */
export const openEventStoreDb = async (): Promise<EventStoreDb> => {
  const named = process.env.EVENTSTORE_URL
  if (named) return { url: named, note: 'on the node of EVENTSTORE_URL', close: async () => undefined }
  users += 1
  shared ??= startTestServer()
  const server = await shared
  return {
    ...server,
    close: async () => {
      users -= 1
      if (users > 0) return
      shared = undefined
      await server.close()
    },
  }
}
