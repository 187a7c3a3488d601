import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, chown, lchown, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Binaries } from './embedded-postgres-binaries.ts'
import { type Launcher, run, type User } from './embedded-postgres-user.ts'
import { StartupError } from './failures.ts'
import type { Logger } from './logging.ts'

/** `<directory>/cluster/` appears complete or not at all: it is made as `<directory>/initialising-<pid>/` and renamed. */
export const clusterDirectory = (directory: string): string => join(directory, 'cluster')
export const dataDirectory = (directory: string): string => join(directory, 'cluster', 'data')

const staging = /^initialising-(\d+)$/

/** Whether the number of a process is taken, be it by one that is dead. */
export const isTaken = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whether a process with this id runs, whoever owns it. */
export const isAlive = (pid: number): boolean => {
  if (!isTaken(pid)) return false
  if (process.platform !== 'linux') return true
  try {
    // A dead process keeps its number until its parent asks, and the first process of a container may never ask.
    return !/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}

const removeAbandoned = async (directory: string): Promise<void> => {
  for (const name of await readdir(directory)) {
    const pid = Number(staging.exec(name)?.[1])
    if (Number.isNaN(pid) || (pid !== process.pid && isAlive(pid))) continue
    await rm(join(directory, name), { recursive: true, force: true, maxRetries: 5 })
  }
}

const lastLine = (output: string): string => output.split('\n').at(-1) ?? ''

const syncDirectory = async (directory: string): Promise<void> => {
  if (process.platform === 'win32') return
  const handle = await open(directory)
  await handle.sync().finally(() => handle.close())
}

const writePrivately = async (file: string, text: string, user: User | undefined): Promise<void> => {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    if (user) await handle.chown(user.uid, user.gid)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const initialise = async (directory: string, binaries: Binaries, launcher: Launcher): Promise<void> => {
  await removeAbandoned(directory)
  const stage = join(directory, `initialising-${process.pid}`)
  const data = join(stage, 'data')
  const passwordFile = join(stage, 'password')
  await mkdir(data, { recursive: true, mode: 0o700 })
  await chmod(stage, 0o711)
  if (launcher.user) await chown(data, launcher.user.uid, launcher.user.gid)
  await writePrivately(passwordFile, randomBytes(24).toString('hex'), launcher.user)

  const initdb = ['--pgdata', data, '--username=orderlog', `--pwfile=${passwordFile}`, '--auth=scram-sha-256']
  const text = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const { succeeded, output } = await run(launcher, binaries.initdb, [...initdb, ...text, '--no-instructions'])
  if (!succeeded) {
    await rm(stage, { recursive: true, force: true })
    throw new StartupError(`The embedded PostgreSQL could not be initialised in ${directory}: ${lastLine(output)}`)
  }
  try {
    await rename(stage, clusterDirectory(directory))
    await syncDirectory(directory)
  } catch (error) {
    // Another start was quicker: theirs is as good.
    if (!(await exists(clusterDirectory(directory)))) throw error
    await rm(stage, { recursive: true, force: true })
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const chownTree = async (path: string, user: User): Promise<void> => {
  await lchown(path, user.uid, user.gid)
  const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const child = join(path, entry.name)
    if (entry.isDirectory()) await chownTree(child, user)
    else await lchown(child, user.uid, user.gid)
  }
}

const checkVersion = async (directory: string, binaries: Binaries, launcher: Launcher): Promise<void> => {
  const { succeeded, output } = await run(launcher, binaries.postgres, ['--version'])
  const major = /\(PostgreSQL\) (\d+)/.exec(output)?.[1]
  if (!succeeded || !major)
    throw new StartupError(
      `The embedded PostgreSQL cannot run on this machine (${lastLine(output)}): set DATABASE_URL to a PostgreSQL of your own.`,
    )
  if (!(await exists(clusterDirectory(directory)))) return
  const written = (await readFile(join(dataDirectory(directory), 'PG_VERSION'), 'utf8')).trim()
  if (written !== major)
    throw new StartupError(
      `The data in ${directory} was written by PostgreSQL ${written} and the embedded one is now ${major}: move the data with pg_dump, or start with another directory.`,
    )
}

/**
 * Makes the data directory when there is none, and returns the password of its one user, `orderlog`. A crash at any
 * instant leaves either nothing or a whole one.
 *
 * @throws StartupError when it cannot be made, or belongs to another major version.
 */
export const prepareCluster = async (options: {
  directory: string
  binaries: Binaries
  launcher: Launcher
  logger: Logger
}): Promise<{ password: string }> => {
  const { directory, binaries, launcher, logger } = options
  await checkVersion(directory, binaries, launcher)
  if (!(await exists(clusterDirectory(directory)))) {
    logger.info(`initialising the embedded PostgreSQL in ${directory}`)
    await initialise(directory, binaries, launcher)
  }
  // Copied or restored by root: the server insists on owning its data.
  const { user } = launcher
  if (user && (await stat(dataDirectory(directory))).uid !== user.uid) await chownTree(dataDirectory(directory), user)
  return { password: (await readFile(join(clusterDirectory(directory), 'password'), 'utf8')).trim() }
}

/** Remembers which process uses the directory, for a start that comes while its PostgreSQL is down. Only a hint. */
export const writeOwner = (directory: string): Promise<void> =>
  writeFile(join(directory, 'owner.pid'), `${process.pid}\n`)

export const removeOwner = (directory: string): Promise<void> => rm(join(directory, 'owner.pid'), { force: true })

/** The other living process that used the directory last. */
export const readOwner = async (directory: string): Promise<number | undefined> => {
  const pid = Number(await readFile(join(directory, 'owner.pid'), 'utf8').catch(() => ''))
  return pid > 0 && pid !== process.pid && isAlive(pid) ? pid : undefined
}
