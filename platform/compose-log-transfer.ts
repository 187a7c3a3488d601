import { systemClock } from './clock.ts'
import { provideDatabase } from './compose-database.ts'
import { openStore } from './compose-event-store.ts'
import type { Config } from './config.ts'
import { type Database, openDatabase } from './database.ts'
import type { EventStore } from './event-store.ts'
import { createEventStoreDbImport } from './eventstoredb-event-store-import.ts'
import { EngineUnavailable } from './failures.ts'
import { openImportSession } from './import-session.ts'
import { createLifecycle } from './lifecycle.ts'
import { LogTransferError } from './log-file.ts'
import type { ImportTarget } from './log-import.ts'
import type { Logger } from './logging.ts'
import { createMetrics } from './metrics.ts'
import { createPostgresImport } from './postgres-event-store-import.ts'

interface Opening {
  readonly config: Config
  readonly logger: Logger
  readonly stopping: AbortSignal
}

const connections = 2

/** Opens the log that the configuration names for as long as `work` takes, and nothing that reads or writes it by itself. */
const withStore = async (
  { config, logger, stopping }: Opening,
  name: string,
  work: (store: EventStore, database: Database) => Promise<void>,
): Promise<void> => {
  const lifecycle = createLifecycle(logger, config.shutdownTimeoutMs)
  try {
    const url = await provideDatabase({ config, logger, lifecycle, stopping })
    const database = openDatabase(url, { max: connections, logger, name })
    lifecycle.onStop('the connections to PostgreSQL', database.close)
    const opening = { config, roles: [], clock: systemClock, logger, metrics: createMetrics(), lifecycle, stopping }
    await work(await openStore(opening, { database }), database)
  } catch (cause) {
    if (!(cause instanceof EngineUnavailable)) throw cause
    throw new LogTransferError('engine-unavailable', `It ended early: ${cause.message}.`, { cause })
  } finally {
    await lifecycle.stop()
  }
}

/** The log, to be read. @throws LogTransferError, StartupError */
export const withLog = (opening: Opening, work: (store: EventStore) => Promise<void>): Promise<void> =>
  withStore(opening, 'orderlog export', work)

/** The log, to be written by an import that is alone on it. @throws LogTransferError, StartupError */
export const withImportTarget = (opening: Opening, work: (target: ImportTarget) => Promise<void>): Promise<void> =>
  withStore(opening, 'orderlog import', async (store, database) => {
    const inPostgres = opening.config.eventStore.kind === 'postgres'
    const session = await openImportSession(database, { holdsLog: inPostgres })
    try {
      const write = inPostgres
        ? createPostgresImport(session.execute)
        : createEventStoreDbImport(store, await store.head())
      const { readAll, readStream } = store
      await work({ readAll, readStream, write, begin: session.begin, finish: session.finish })
    } finally {
      await session.close()
    }
  })
