import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface PlatformProcess {
  readonly url: string
  readonly pid: number
  /** Everything it has logged so far, line by line. */
  readonly log: readonly string[]
  /** Sends a signal; resolves with the exit code (null after a signal) once the process has gone. */
  kill(signal: NodeJS.Signals): Promise<number | null>
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const cli = new URL('../../dist/platform/cli.js', import.meta.url).pathname

/** The command line as a user runs it, compiled, in a process of its own. The environment is that of the test, cleaned. */
export const spawnCli = (
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  options: { readonly stdin?: 'ignore' | 'pipe'; readonly cli?: string } = {},
): ChildProcess => {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(ORDERLOG|KAFKA|REDIS|ELASTICSEARCH)_|_URL$/.test(name)),
  )
  return spawn(process.execPath, [options.cli ?? cli, ...args], {
    env: { ...inherited, ...environment },
    stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
  })
}

/**
 * What a command prints and how it ends.
 *
 * @param withinMs after which a command that hangs is ended
 * @throws Error with what it has printed, when it hangs
 */
export const finished = async (child: ChildProcess, withinMs = 240_000): Promise<Finished> => {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  let hangs = false
  const patience = setTimeout(() => {
    hangs = true
    child.kill('SIGKILL')
  }, withinMs)
  const [code] = (await once(child, 'close').finally(() => clearTimeout(patience))) as [number | null]
  if (hangs) throw new Error(`it did not end within ${withinMs} ms:\n${stdout}\n${stderr}`)
  return { code, stdout, stderr }
}

/** Waits until a child of `orderlog start` says that it is ready; rejects with its log when it ends before, or hangs. */
export const ready = async (child: ChildProcess, withinMs = 150_000): Promise<PlatformProcess> => {
  const log: string[] = []
  const exited = once(child, 'exit') as Promise<[number | null]>
  child.stdout?.resume()
  let patience: NodeJS.Timeout | undefined
  const url = await new Promise<string>((resolve, reject) => {
    patience = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`it was not ready within ${withinMs} ms:\n${log.join('\n')}`))
    }, withinMs)
    if (!child.stderr) return reject(new Error('no standard error'))
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line)
      const said = /Orderlog is ready on (http:\/\/[^"]+)/.exec(line)
      if (said?.[1]) resolve(said[1])
    })
    void exited.then(([code]) => reject(new Error(`it ended with ${code} before it was ready:\n${log.join('\n')}`)))
  }).finally(() => clearTimeout(patience))
  return {
    url,
    pid: child.pid ?? 0,
    log,
    kill: async (signal) => {
      child.kill(signal)
      return (await exited)[0]
    },
  }
}

/** `orderlog start` on a free port. */
export const startProcess = (
  environment: Readonly<Record<string, string>>,
  roles: readonly string[] = [],
): Promise<PlatformProcess> => ready(spawnCli(['start', ...roles], { ORDERLOG_PORT: '0', ...environment }))
