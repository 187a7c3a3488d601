import { EngineUnavailable, StartupError } from './failures.ts'
import type { Logger } from './logging.ts'
import { backOffMs, pause } from './pause.ts'

/** What a start knows of an engine that may be away. */
export interface AwaitedEngine {
  /** `PostgreSQL`. */
  readonly name: string
  /** The variable that names it: `DATABASE_URL`. */
  readonly variable: string
  /** `host:port`, several with commas between them; without user and password. */
  readonly host: string
}

/** Why an engine is away, without its name. */
export const reasonOf = (error: unknown): string => {
  const cause = error instanceof EngineUnavailable ? error.cause : error
  return (cause instanceof Error && cause.message) || String(cause)
}

/** How often the log says that an engine is still waited for, milliseconds. */
const tellEveryMs = 5_000

/**
 * Tries until the engine answers, so that it does not matter which of them is started first.
 *
 * @param attempt throws `EngineUnavailable` while trying again makes sense, anything else when it does not
 * @param options.waitMs gives up then
 * @param options.stopping aborted when the process is told to stop: nothing is waited for any longer
 * @throws StartupError one sentence that names variable and host
 */
export const waitForEngine = async <Result>(
  engine: AwaitedEngine,
  attempt: () => Promise<Result>,
  options: { readonly waitMs: number; readonly logger: Logger; readonly stopping: AbortSignal },
): Promise<Result> => {
  const { waitMs, logger, stopping } = options
  const { name, variable, host } = engine
  const begun = performance.now()
  let told = Number.NEGATIVE_INFINITY
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof StartupError) throw error
      const waited = performance.now() - begun
      const reason = reasonOf(error)
      if (!(error instanceof EngineUnavailable) || waited >= waitMs || stopping.aborted)
        throw new StartupError(
          `${variable} names ${article(name)} ${name} on ${host} that cannot be used: ${reason}.`,
          {
            cause: error,
          },
        )
      if (waited - told >= tellEveryMs) {
        logger.warn({ variable, host, reason }, `waiting for ${name} on ${host} (${variable})`)
        told = waited
      }
      await pause(Math.min(backOffMs(tries), Math.max(1, waitMs - waited)), stopping)
    }
  }
}

const article = (name: string): string => (/^[AEIOU]/.test(name) ? 'an' : 'a')
