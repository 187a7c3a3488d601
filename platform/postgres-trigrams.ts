import type { Queryable } from './database.ts'
import { EngineUnavailable, StartupError } from './failures.ts'

const purpose = 'which search needs'

/**
 * Makes sure of the extension pg_trgm in this database.
 *
 * @throws StartupError when the server does not have it or the user may not create it
 */
export const createTrigramExtension = async (transaction: Queryable): Promise<void> => {
  const [extension] = await transaction.query<{ installed_version: string | null }>(
    `select installed_version from pg_available_extensions where name = 'pg_trgm'`,
  )
  if (!extension)
    throw new StartupError(
      `The PostgreSQL server does not have the extension pg_trgm, ${purpose}: install its contrib package.`,
    )
  if (extension.installed_version !== null) return
  try {
    await transaction.query('create extension if not exists pg_trgm')
  } catch (error) {
    const refusal = error instanceof EngineUnavailable ? error.cause : error
    if ((refusal as { code?: unknown }).code !== '42501') throw error
    throw new StartupError(
      `The database user may not create the extension pg_trgm, ${purpose}: have an administrator run "create extension pg_trgm" in this database.`,
      { cause: error },
    )
  }
}
