import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { open, readdir, readFile, readlink, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Binaries } from './embedded-postgres-binaries.ts'
import { isAlive, isTaken } from './embedded-postgres-cluster.ts'
import type { Launcher } from './embedded-postgres-user.ts'

/** The server's parent process: ours, or one that a process of ours left behind. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
  /** Why it ended, or undefined while it runs. */
  ended(): Promise<string | undefined>
  /**
   * Tells it to shut down now, rolling back what is open, without waiting for it; nothing when it is gone, whoever has its
   * number by then. Synchronous: for a process that exits. On Windows this kills it.
   */
  askToStop(): void
}

/** What postmaster.pid says: process id in its first line, port in its fourth. */
export const parsePostmasterFile = (text: string): { pid: number; port: number } | undefined => {
  const lines = text.split('\n')
  const [pid, port] = [Number(lines[0]), Number(lines[3])]
  return pid > 0 && port > 0 ? { pid, port } : undefined
}

const readPostmasterFile = async (data: string) =>
  parsePostmasterFile(await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => ''))

/** Empty when the process has ended in between, or is none of ours to look at. */
const whenThere = (look: () => string): string => {
  try {
    return look()
  } catch {
    return ''
  }
}

const commandLine = (pid: number): string =>
  whenThere(() =>
    process.platform === 'linux'
      ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      : execFileSync('ps', ['-o', 'command=', '-p', String(pid)], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        }),
  )

/** Whether a process is alive and the server of this data directory, not one that got the same number later. */
export const servesData = (pid: number, data: string): boolean => {
  if (!isAlive(pid)) return false
  if (process.platform === 'win32') return true
  if (whenThere(() => readlinkSync(`/proc/${pid}/cwd`)) === data) return true
  return commandLine(pid).includes(`-D ${data} -p `)
}

/** The server that runs on this data directory, whoever started it. */
export const findPostmaster = async (data: string): Promise<Postmaster | undefined> => {
  const found = await readPostmasterFile(data)
  if (!found || !servesData(found.pid, data)) return undefined
  return {
    ...found,
    ended: async () => (servesData(found.pid, data) ? undefined : `process ${found.pid} is gone`),
    askToStop: () => {
      if (servesData(found.pid, data)) signal(found.pid, 'SIGINT')
    },
  }
}

/** The port of a server that was killed: whoever still knows it should find the next one there. */
export const lastPort = async (data: string): Promise<number | undefined> => (await readPostmasterFile(data))?.port

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })

/** A free loopback port, the preferred one if it is. */
export const choosePort = async (preferred?: number): Promise<number> => {
  if (preferred !== undefined && (await isFree(preferred))) return preferred
  // Below the range that systems take ports of outgoing connections from: while the server restarts, one of those,
  // even a pool's own attempt to reach the missing server, could otherwise sit on its port.
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) return port
  }
}

const reasonIn = (log: string, pid: number): string => {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const fatal = lines.filter((line) => line.includes(`[${pid}]`) && /FATAL|PANIC/.test(line)).at(-1)
  return (fatal ?? lines.at(-1) ?? 'it said nothing').replace(/^.*?(FATAL|PANIC): +/, '')
}

// Another process has that number now, or the dead one lingers; the server itself would trust the number and refuse.
const forgetImpostor = async (data: string): Promise<void> => {
  const found = await readPostmasterFile(data)
  if (found && process.platform !== 'win32' && isTaken(found.pid) && !servesData(found.pid, data))
    await rm(join(data, 'postmaster.pid'), { force: true })
}

/** Starts a server; it is not ready yet, and may end at once (see `ended`). */
export const launchPostmaster = async (options: {
  binaries: Binaries
  launcher: Launcher
  data: string
  port: number
  settings: Readonly<Record<string, string>>
  logFile: string
}): Promise<Postmaster> => {
  const { data, port } = options
  await forgetImpostor(data)
  const settings = Object.entries(options.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const command = options.launcher.command(options.binaries.postgres, ['-D', data, '-p', String(port), ...settings])
  const log = await open(options.logFile, 'a+')
  try {
    const logStart = (await log.stat()).size
    const child = spawn(command.program, command.args, { ...command.options, stdio: ['ignore', log.fd, log.fd] })
    const exit = new Promise<Error | undefined>((resolve) => {
      child.once('error', resolve)
      child.once('exit', () => resolve(undefined))
    })
    child.unref()
    const { pid } = child
    if (pid === undefined) throw (await exit) ?? new Error(`${command.program} did not start`)
    return {
      pid,
      port,
      // Of its own child a process knows that it has ended before the number is given to another.
      askToStop: () => void child.kill('SIGINT'),
      ended: async () => {
        if (child.exitCode === null && child.signalCode === null) return undefined
        const written = await readFile(options.logFile)
        return reasonIn(written.subarray(logStart <= written.length ? logStart : 0).toString(), pid)
      },
    }
  } finally {
    await log.close()
  }
}

/**
 * Ends what a killed server left working: backends in the middle of a long statement do not notice, and no server
 * starts beside them. Elsewhere than on Linux they are waited for.
 */
export const endOrphans = async (data: string, postgres: string): Promise<void> => {
  if (process.platform !== 'linux' || (await findPostmaster(data))) return
  const program = await realpath(postgres)
  for (const pid of (await readdir('/proc')).map(Number).filter((number) => number > 0)) {
    const [cwd, exe] = await Promise.all(
      ['cwd', 'exe'].map((link) => readlink(`/proc/${pid}/${link}`).catch(() => undefined)),
    )
    if (cwd === data && exe === program) signal(pid, 'SIGQUIT')
  }
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Stops a server: orderly for up to 10 s, then at once (it recovers from its log at the next start). */
export const stopPostmaster = async (postmaster: Postmaster): Promise<void> => {
  const steps: [NodeJS.Signals, number][] = [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ]
  for (const [name, milliseconds] of steps) {
    if ((await postmaster.ended()) !== undefined) return
    signal(postmaster.pid, name)
    const deadline = performance.now() + milliseconds
    while (performance.now() < deadline) {
      if ((await postmaster.ended()) !== undefined) return
      await pause(20)
    }
  }
}
