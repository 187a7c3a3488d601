import type { Logger } from '../platform/logging.ts'
import { pause } from '../platform/pause.ts'
import type { ProjectionSink } from './projection.ts'

/**
 * Looks, while a projector may have nothing to do, whether an engine that can lose data still holds what was written to
 * it: emptied, damaged, or put back to an older state. A busy projector is fenced before that.
 *
 * @param watched.positions checkpoints that this projector has written or found, by partition
 * @returns whether something is lost; false when the signal aborts first, and at once for an engine that loses nothing
 */
export const untilLost = async (
  watched: {
    readonly sink: ProjectionSink
    readonly positions: ReadonlyMap<number, bigint>
    readonly everyMs: number
    readonly logger: Logger
  },
  signal: AbortSignal,
): Promise<boolean> => {
  const { sink, positions, everyMs, logger } = watched
  if (!sink.intact) return false
  const isBehind = async (): Promise<boolean> => {
    // As they were before the checkpoints are read: those only grow meanwhile.
    for (const [partition, position] of [...positions])
      if ((await sink.checkpoint(partition)).position < position) return true
    return false
  }
  while (!signal.aborted) {
    await pause(everyMs, signal)
    if (signal.aborted) return false
    try {
      if (!(await sink.intact()) || (await isBehind())) return true
    } catch (error) {
      logger.debug({ err: error }, 'an engine could not be asked what it holds')
    }
  }
  return false
}
