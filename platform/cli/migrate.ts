import { withDatabase } from '../compose-database.ts'
import { readConfig } from '../config.ts'
import { createLogger } from '../logging.ts'
import { finishing } from './finishing.ts'

/** `orderlog migrate`. `start` does the same by itself; this is for those who deploy in two steps. */
export const migrateDatabase = async (): Promise<void> => {
  const config = readConfig()
  const logger = createLogger(config.logLevel)
  await finishing(config, (stopping) => withDatabase({ config, logger, stopping }, async () => undefined))
  console.log('The database schema is up to date.')
}
