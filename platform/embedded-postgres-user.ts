import { type SpawnOptions, spawn } from 'node:child_process'
import { access, readFile, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StartupError } from './failures.ts'

export interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** How to start a program of PostgreSQL's: as whom, and with what in front. */
export interface Launcher {
  /** Undefined: as ourselves. */
  readonly user: User | undefined
  command(program: string, args: readonly string[]): { program: string; args: string[]; options: SpawnOptions }
}

type Ownership = { readonly uid: number; readonly gid: number; readonly mode: number }

/** Whether `user` has the permission bits (of `rwx` = 4, 2, 1) on a file, by its mode alone. */
export const permits = (file: Ownership, user: Pick<User, 'uid' | 'gid'>, bits: number): boolean => {
  const shift = file.uid === user.uid ? 6 : file.gid === user.gid ? 3 : 0
  return ((file.mode >> shift) & bits) === bits
}

/** The entry of a user in the text of /etc/passwd. */
export const userIn = (passwd: string, name: string): User | undefined => {
  const fields = passwd
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.split(':')
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])]
  return fields && Number.isInteger(uid) && Number.isInteger(gid) && uid > 0 ? { name, uid, gid } : undefined
}

/** The first folder or file on the way to `path` that keeps `user` out. */
const obstacle = async (path: string, user: User): Promise<string | undefined> => {
  const target = await realpath(path)
  const parent = dirname(target)
  const above = parent === target ? undefined : await obstacle(parent, user)
  if (above) return above
  const file = await stat(target)
  return permits(file, user, file.isDirectory() ? 1 : 4) ? undefined : target
}

const firstObstacle = async (paths: readonly string[], user: User): Promise<string | undefined> => {
  for (const path of paths) {
    const found = await obstacle(path, user)
    if (found) return found
  }
  return undefined
}

const setprivPaths = ['/usr/bin/setpriv', '/bin/setpriv', '/usr/sbin/setpriv', '/sbin/setpriv']

const findSetpriv = async (): Promise<string | undefined> => {
  for (const path of setprivPaths)
    if (
      await access(path, 1).then(
        () => true,
        () => false,
      )
    )
      return path
  return undefined
}

/** The weakest capability we hold that walks through closed folders. Docker, for one, grants only the stronger. */
export const walkingCapability = (processStatus: string): string | undefined => {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(processStatus)?.[1] ?? '0'}`)
  if (effective & (1n << 2n)) return '+dac_read_search'
  return effective & (1n << 1n) ? '+dac_override' : undefined
}

// No variable of ours reaches the server: PGPORT, PGDATA, LD_LIBRARY_PATH or a locale it lacks would change what it does.
const environment = { LC_ALL: 'C', LANG: 'C', TZ: 'UTC', PATH: '/usr/bin:/bin' }

// Its own process group: a Ctrl-C of the terminal is for us, who drain first and stop it afterwards.
const spawnOptions: SpawnOptions = { detached: true, env: environment, cwd: '/', windowsHide: true }

const asOurselves: Launcher = {
  user: undefined,
  command: (program, args) => ({ program, args: [...args], options: spawnOptions }),
}

/**
 * Decides as whom PostgreSQL runs, which refuses to run as root: as ourselves, or, when we are root, as the owner of
 * the data there already is, else as `postgres`, else as `nobody`.
 *
 * @param needed what that user has to reach
 * @throws StartupError when there is no such user, or no way for it to reach those files.
 */
export const chooseLauncher = async (options: {
  dataOwner: { uid: number; gid: number } | undefined
  needed: readonly string[]
}): Promise<Launcher> => {
  // Windows has no such users (getuid is undefined there); that path is untested.
  if (process.getuid?.() !== 0) return asOurselves

  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const { dataOwner } = options
  const user =
    dataOwner && dataOwner.uid !== 0
      ? { name: `user ${dataOwner.uid}`, ...dataOwner }
      : (userIn(passwd, 'postgres') ?? userIn(passwd, 'nobody'))
  if (!user)
    throw new StartupError(
      'PostgreSQL refuses to run as root and there is no user "postgres" or "nobody" to run it as: start Orderlog as another user, or set DATABASE_URL.',
    )

  const closed = await firstObstacle(options.needed, user)
  if (!closed)
    return {
      user,
      command: (program, args) => ({
        program,
        args: [...args],
        options: { ...spawnOptions, uid: user.uid, gid: user.gid },
      }),
    }

  const setpriv = await findSetpriv()
  const capability = walkingCapability(await readFile('/proc/self/status', 'utf8').catch(() => ''))
  if (!setpriv || !capability)
    throw new StartupError(
      `PostgreSQL refuses to run as root and ${user.name} may not enter ${closed}: open it with chmod o+rx, start Orderlog as another user, or set DATABASE_URL.`,
    )
  // Without no_setuid_fixup the kernel ignores capabilities in access(2), with which PostgreSQL looks for its own files.
  const prefix = [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup',
    `--inh-caps=${capability}`,
    `--ambient-caps=${capability}`,
  ]
  return {
    user,
    command: (program, args) => ({ program: setpriv, args: [...prefix, program, ...args], options: spawnOptions }),
  }
}

/** Runs a program to its end and returns what it printed; never rejects. */
export const run = (
  launcher: Launcher,
  program: string,
  args: readonly string[],
): Promise<{ succeeded: boolean; output: string }> =>
  new Promise((resolve) => {
    const command = launcher.command(program, args)
    const child = spawn(command.program, command.args, { ...command.options, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout?.on('data', collect)
    child.stderr?.on('data', collect)
    child.once('error', (error) => resolve({ succeeded: false, output: error.message }))
    child.once('close', (code) => resolve({ succeeded: code === 0, output: output.trim() }))
  })
