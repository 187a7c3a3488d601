import type { EventStore } from './event-store.ts'
import { EngineUnavailable, LogWentBack } from './failures.ts'
import { type EventPlace, holdsEvent } from './log-continuity.ts'
import type { Logger } from './logging.ts'
import { pause } from './pause.ts'

/**
 * Whether the log is still the one that this process has read, for a feed that reads a copy of it: the copy goes on saying what
 * the log no longer holds. Found once, it stays so: what is in memory, a consumer's too, is of a log that exists no more.
 */
export interface LogWatch {
  /** An event of the copy that was handed out. */
  read(place: EventPlace): void
  /** @throws LogWentBack */
  breakOff(error: LogWentBack): never
  /** Asks nobody. @throws LogWentBack from when it was found */
  demand(): void
  /** Asks the log. @throws LogWentBack, EngineUnavailable */
  check(): Promise<void>
  /** Looks from time to time, until the signal aborts or the log was put back. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

/** @param deps.everyMs how often is looked: one question, and a second one when something was appended since */
export const createLogWatch = (deps: {
  readonly store: Pick<EventStore, 'last' | 'readStream'>
  readonly logger: Logger
  readonly everyMs?: number
}): LogWatch => {
  const { store, logger, everyMs = 1_000 } = deps
  let newest: EventPlace | undefined
  let putBack: LogWentBack | undefined

  const read = ({ id, stream, revision, position }: EventPlace): void => {
    if (!newest || position > newest.position) newest = { id, stream, revision, position }
  }
  const breakOff = (error: LogWentBack): never => {
    if (!putBack) logger.fatal({ err: error }, 'nothing is applied on top of another log')
    putBack ??= error
    throw putBack
  }
  const demand = (): void => {
    if (putBack) throw putBack
  }
  const check = async (): Promise<void> => {
    demand()
    const known = newest
    const last = await store.last()
    const same = known === undefined || (last?.id === known.id && last.position === known.position)
    if (!same && !(await holdsEvent(store, known))) breakOff(new LogWentBack(known.position))
    if (last) read(last)
  }

  return {
    read,
    breakOff,
    demand,
    check,
    run: async (signal) => {
      while (!signal.aborted && !putBack) {
        await check().catch((error: unknown) => {
          if (error instanceof LogWentBack || error instanceof EngineUnavailable || signal.aborted) return
          logger.error({ err: error }, 'the log could not be compared with what was read of it')
        })
        await pause(everyMs, signal)
      }
    },
  }
}
