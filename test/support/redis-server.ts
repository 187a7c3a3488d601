import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { choosePort } from '../../platform/embedded-postgres-postmaster.ts'
import { eventually } from './eventually.ts'

const installed = (): boolean => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Whether this machine has a Redis to start: tests that kill, pause and empty one need their own. */
export const hasRedisServer = installed()

/** A Redis of a test's own, with an append-only file, gone when it is stopped. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly directory: string
  /** SIGKILL; the data stay. */
  kill(): Promise<void>
  /** Starts again on the same data. */
  start(): Promise<void>
  /** It hangs: connections stay open and nothing is answered. */
  pause(): void
  resume(): void
  /** Sends one command. */
  command(...words: string[]): Promise<unknown>
  stop(): Promise<void>
}

/**
 * @param options.settings further ones of the command line: `['--requirepass', 'secret']`
 * @throws Error with what the server said, when it ends instead of answering
 */
export const startRedisServer = async (
  options: { readonly settings?: readonly string[]; readonly password?: string } = {},
): Promise<RedisServer> => {
  const directory = await mkdtemp(join(tmpdir(), 'orderlog-redis-'))
  const port = await choosePort()
  const settings = ['--dir', directory, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes']
  let child: ChildProcess | undefined

  const command = async (...[name = '', ...words]: string[]): Promise<unknown> => {
    const client = new Redis(port, '127.0.0.1', {
      lazyConnect: true,
      retryStrategy: null,
      ...(options.password === undefined ? {} : { password: options.password }),
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await client.call(name, ...words)
    } finally {
      client.disconnect()
    }
  }

  const start = async (): Promise<void> => {
    const started = spawn('redis-server', ['--port', String(port), ...settings, ...(options.settings ?? [])], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    child = started
    const said: string[] = []
    started.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text))
    const hasEnded = () => started.exitCode !== null || started.signalCode !== null
    await eventually(
      async () => hasEnded() || (await command('PING')) === 'PONG',
      (done) => done,
      { what: 'Redis answering' },
    )
    if (hasEnded()) throw new Error(`redis-server on port ${port} ended:\n${said.join('').slice(-2000)}`)
  }

  const kill = async (): Promise<void> => {
    const victim = child
    child = undefined
    if (!victim || victim.exitCode !== null || victim.signalCode !== null) return
    victim.kill('SIGKILL')
    await once(victim, 'exit')
  }

  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    directory,
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    command,
    stop: async () => {
      await kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
