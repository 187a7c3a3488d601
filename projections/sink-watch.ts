import type { Database, Statement } from '../platform/database.ts'
import type { Logger } from '../platform/logging.ts'
import { pause } from '../platform/pause.ts'
import type { Projection } from './projection.ts'

const storedStatement: Statement = {
  name: 'checkpoints_stored',
  text: 'select partition, position from platform.checkpoints where consumer = $1',
}

/**
 * Looks, while a projector may have nothing to do, whether what it has written is still there. An engine may be emptied,
 * damaged, or put back to an older state; a PostgreSQL that crashes forgets its last commits, effect and checkpoint
 * together. A busy projector is fenced before that.
 *
 * @param watched.positions checkpoints that this projector has written or found, by partition
 * @returns whether something is lost; false when the signal aborts first
 */
export const untilLost = async (
  watched: {
    readonly projection: Pick<Projection, 'name' | 'sink'>
    readonly database: Database
    readonly positions: ReadonlyMap<number, bigint>
    readonly everyMs: number
    readonly logger: Logger
  },
  signal: AbortSignal,
): Promise<boolean> => {
  const { projection, database, positions, everyMs, logger } = watched
  const { name, sink } = projection
  /** Every partition in one question, where they are in PostgreSQL. */
  const stored = async (): Promise<(partition: number) => Promise<bigint>> => {
    if (sink.intact) return async (partition) => (await sink.checkpoint(partition)).position
    const rows = await database.execute<{ partition: number; position: bigint }>(storedStatement, [name])
    return async (partition) => rows.find((each) => each.partition === partition)?.position ?? 0n
  }
  const isBehind = async (): Promise<boolean> => {
    // As they were before the checkpoints are read: those only grow meanwhile.
    const known = [...positions]
    if (known.length === 0) return false
    const standsAt = await stored()
    for (const [partition, position] of known) if ((await standsAt(partition)) < position) return true
    return false
  }
  while (!signal.aborted) {
    await pause(everyMs, signal)
    if (signal.aborted) return false
    try {
      if ((sink.intact && !(await sink.intact())) || (await isBehind())) return true
    } catch (error) {
      logger.debug({ err: error }, 'an engine could not be asked what it holds')
    }
  }
  return false
}
