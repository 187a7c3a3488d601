import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'

/** The test server as a process of its own, with its log in a file: it can be killed and stopped as a real one can. */
export interface EventStoreDbProcess {
  readonly url: string
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Resolves when it answers again, on the same port and with what its file holds. */
  start(): Promise<void>
  /** SIGSTOP: it hangs, its connections stay open and new ones are taken by the kernel. */
  pause(): void
  resume(): void
  /** Ends it and deletes the file. */
  close(): Promise<void>
}

const main = new URL('../../dist/test/support/eventstoredb-server-main.js', import.meta.url).pathname

export const startEventStoreDbProcess = async (): Promise<EventStoreDbProcess> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-esdb-'))
  const port = await choosePort()
  let child: ChildProcess | undefined

  const start = async (): Promise<void> => {
    const server = spawn(process.execPath, [main, String(port), join(directory, 'log.ndjson')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child = server
    // It prints its address when it listens.
    const listening = once(createInterface({ input: server.stdout }), 'line')
    const exited = once(server, 'exit').then(([code]) => {
      throw new Error(`the EventStoreDB test server ended with ${code} before it listened`)
    })
    await Promise.race([listening, exited])
    exited.catch(() => undefined)
  }
  const kill = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  await start()
  return {
    url: `esdb://127.0.0.1:${port}?tls=false`,
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    close: async () => {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
