import type { Logger } from '../platform/logging.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { RebuildService } from './rebuild.ts'

/** Nobody has asked but the configuration. */
const asked = { operator: 'orderlog', reason: 'ORDERLOG_REBUILD_STALE' }

/**
 * Once, at the start: rebuilds the read models that an older version of the code has built, but for those whose rebuild is
 * under way or was stopped by an operator, and those that were swapped back from what this version had built. Old code that starts beside the new one finds nothing to do. Never rejects.
 */
export const rebuildStale = async (service: RebuildService, logger: Logger, signal: AbortSignal): Promise<void> => {
  for (let failures = 0; !signal.aborted; failures += 1)
    try {
      const open = new Set(
        (await service.rebuilds()).flatMap(({ projection, state }) =>
          state === 'running' || state === 'cancelled' || state === 'failed' ? [projection] : [],
        ),
      )
      const stale = (await service.stale()).filter(({ projection, outdated }) => outdated && !open.has(projection))
      for (const { projection, why } of stale)
        logger.warn({ projection, why }, 'the read model is stale and is rebuilt')
      if (stale.length > 0)
        await service.start(
          stale.map(({ projection }) => projection),
          asked,
        )
      return
    } catch (error) {
      // Another process that starts has asked for it first.
      const taken = error instanceof CommandRejected
      logger[taken ? 'info' : 'warn']({ error: String(error) }, 'stale read models wait to be rebuilt')
      await pause(backOffMs(failures), signal)
    }
}
