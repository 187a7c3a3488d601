import { consumer } from '../sagas/checkpoint.ts'
import { createFulfilmentProcessManager, type FulfilmentProcessManager } from '../sagas/process-manager.ts'
import { LogWentBack, StartupError } from './failures.ts'
import type { HealthCheck } from './health.ts'
import type { LogGuard } from './log-guard.ts'
import { backOffMs, pause } from './pause.ts'

type Dependencies = Omit<Parameters<typeof createFulfilmentProcessManager>[0], 'ahead'>

/** How often is looked whether an operator has done what the saga waits for, milliseconds. */
const lookAgainMs = 2_000

/**
 * Runs the saga until the signal aborts. Whatever it breaks off with, it is taken up again from its checkpoint; one that is
 * ahead of the log waits until it was reset. Only one that the log was put back under has ended for this process.
 */
export const composeSaga = (
  deps: Dependencies & { readonly guard: LogGuard },
): { run(signal: AbortSignal): Promise<void>; readonly health: HealthCheck } => {
  const { guard, logger } = deps
  const { ahead } = guard
  let failure: string | undefined
  let manager: FulfilmentProcessManager | undefined

  /** Timers fire as soon as it runs: whether it may run is asked before. */
  const runOnce = async (signal: AbortSignal): Promise<void> => {
    const why = await ahead(consumer)
    if (why !== undefined) throw new StartupError(`it is ahead of the log: ${why}; reset it`)
    failure = undefined
    manager = createFulfilmentProcessManager({ ...deps, ahead })
    await manager.run(signal)
  }

  return {
    run: async (signal) => {
      for (let failures = 0; !signal.aborted; ) {
        const before = manager?.status().position ?? 0n
        try {
          await runOnce(signal)
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error)
          if (failure !== reason) logger.error({ err: error }, 'the order-fulfilment saga has stopped')
          failure = reason
          if (error instanceof LogWentBack) return
          failures = (manager?.status().position ?? 0n) > before ? 0 : failures + 1
          await pause(error instanceof StartupError ? lookAgainMs : backOffMs(failures), signal)
        }
      }
    },
    health: () => {
      const trouble = failure ?? manager?.status().waiting
      return trouble === undefined ? { ok: true } : { ok: false, detail: trouble }
    },
  }
}
