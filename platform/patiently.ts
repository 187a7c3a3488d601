import { EngineUnavailable } from './failures.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'

/** Tries until it succeeds or the signal aborts (then undefined); only an unavailable engine is waited for. */
export const patiently = async <Result>(
  work: () => Promise<Result>,
  signal: AbortSignal,
  logger: Logger,
): Promise<Result | undefined> => {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error
      if (attempt === 0) logger.warn({ error: error.message }, 'the event feed waits')
      await pause(backOffMs(attempt), signal)
    }
  }
  return undefined
}
