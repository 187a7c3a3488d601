import { createReadStream } from 'node:fs'
import { withImportTarget } from '../compose-log-transfer.ts'
import { readConfig } from '../config.ts'
import { LogTransferError } from '../log-file.ts'
import { type ReadLogFileOptions, readLogFile } from '../log-file-reader.ts'
import { importLog, type LogImport } from '../log-import.ts'
import { createLogger } from '../logging.ts'
import { finishing } from './finishing.ts'

/** @throws LogTransferError for a file that cannot be read */
async function* chunksOf(file: string | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* file === undefined || file === '-' ? process.stdin : createReadStream(file)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === undefined) throw cause
    throw new LogTransferError('import-unreadable', `The file cannot be read (${message}).`, { cause })
  }
}

const tellEvery = 100_000

/** Says now and then how far it is. */
const createTeller = () => {
  let told = 0
  return ({ imported }: LogImport): void => {
    if (imported - told < tellEvery) return
    told = imported
    console.error(`${imported} events so far`)
  }
}

/** `orderlog import`: an exported log into the one that is configured. */
export const importEvents = async (file: string | undefined, options: ReadLogFileOptions): Promise<void> => {
  const config = readConfig(undefined, { ORDERLOG_LOG_LEVEL: 'warn' })
  const logger = createLogger(config.logLevel)
  await finishing(config, (stopping) =>
    withImportTarget({ config, logger, stopping }, async (target) => {
      const log = await readLogFile(chunksOf(file), options)
      const { imported, known } = await importLog(log, target, { signal: stopping, onProgress: createTeller() })
      console.log(`Imported ${imported} events; ${known} were there already.`)
    }),
  )
}
