import type { Logger } from '../platform/logging.ts'
import type { Snapshot, SnapshotStore } from '../platform/snapshots.ts'

export interface SnapshotWriter {
  /** Queues a snapshot; a newer one of the same stream replaces it. The state is packed only when it is written. */
  offer(snapshot: Omit<Snapshot, 'state'>, pack: () => unknown): void
  /** Resolves once everything offered so far has been written or given up. */
  settled(): Promise<void>
}

/** Writes snapshots behind the commands' backs: one batch at a time, and a failure costs nothing but the snapshot. */
export const createSnapshotWriter = (deps: { snapshots: SnapshotStore; logger: Logger }): SnapshotWriter => {
  let waiting = new Map<string, { snapshot: Omit<Snapshot, 'state'>; pack: () => unknown }>()
  let writing: Promise<void> | undefined

  const write = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch = [...waiting.values()]
      waiting = new Map()
      try {
        await deps.snapshots.save(batch.map(({ snapshot, pack }) => ({ ...snapshot, state: pack() })))
      } catch (error) {
        deps.logger.warn({ err: error, streams: batch.length }, 'snapshots were not written')
      }
    }
    writing = undefined
  }

  return {
    offer: (snapshot, pack) => {
      waiting.set(snapshot.stream, { snapshot, pack })
      writing ??= write()
    },
    settled: async () => writing,
  }
}
