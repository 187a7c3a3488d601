import type { StoredCheckpoint } from '../platform/checkpointed-store.ts'
import { isSealed, seal, unseal } from '../platform/partitioning.ts'
import type { ProjectionSink } from './projection.ts'

/**
 * The checkpoint of a partition. A consumer that comes here for the first time after it has consumed the log as a whole
 * goes on from there: its old checkpoint is sealed, so that no late writer moves it any more, and every partition begins
 * where it stood. Whatever dies in between, the next one finishes.
 *
 * @param check throws when the old checkpoint must not be gone on from
 */
export const checkpointInPartition = async (
  sink: ProjectionSink,
  partition: number,
  check: (whole: StoredCheckpoint) => Promise<void>,
): Promise<StoredCheckpoint> => {
  for (;;) {
    const own = await sink.checkpoint(partition)
    // The log as a whole, which may have been emptied: it has nobody to take over from.
    if (own.position > 0n || partition === 0) return own
    const whole = await sink.checkpoint(0)
    if (!isSealed(whole.position)) {
      await check(whole)
      await sink.apply({ partition: 0, events: [], from: whole.position, to: seal(whole.position) })
      continue
    }
    const start = unseal(whole.position)
    if (start === 0n) return own
    await sink.apply({ partition, events: [], from: 0n, to: start })
  }
}
