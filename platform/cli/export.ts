import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { withLog } from '../compose-log-transfer.ts'
import { readConfig } from '../config.ts'
import { exportLog, type LogExport } from '../log-export.ts'
import { LogTransferError } from '../log-file.ts'
import { createLogger } from '../logging.ts'
import { finishing } from './finishing.ts'

/** @throws LogTransferError when nobody takes what is written any longer */
const print = async (chunks: AsyncIterable<string>): Promise<void> => {
  try {
    // Pulled: the next page is read when this one has been taken.
    await pipeline(Readable.from(chunks, { highWaterMark: 1 }), process.stdout, { end: false })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === undefined || cause instanceof LogTransferError) throw cause
    throw new LogTransferError('export-stopped', `Standard output takes no more (${message}).`, { cause })
  }
}

/** `orderlog export`: the log on standard output, what became of it on standard error. */
export const exportEvents = async (options: { from?: bigint }): Promise<void> => {
  const config = readConfig(undefined, { ORDERLOG_LOG_LEVEL: 'warn' })
  const logger = createLogger(config.logLevel)
  let result: LogExport | undefined
  await finishing(config, (stopping) =>
    withLog({ config, logger, stopping }, async (store) => {
      const lines = exportLog(store, options.from ?? 0n, stopping)
      const counted = async function* (): AsyncGenerator<string, void, undefined> {
        result = yield* lines
      }
      await print(counted())
    }),
  )
  if (result) console.error(`Exported ${result.events} events, up to position ${result.position}.`)
}
