import type { ServerLog } from './eventstoredb-server-log.ts'
import type { Recorded } from './eventstoredb-server-stream.ts'

/** Index of the first event beyond this position. */
export const firstAfter = (events: readonly Recorded[], position: bigint): number => {
  let low = 0
  let high = events.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((events[middle]?.position ?? 0n) > position) high = middle
    else low = middle + 1
  }
  return low
}

/** Whether a record begins there. A node can begin to read nowhere else, but for what lies beyond its end. */
export const isPosition = (log: ServerLog, commit: bigint): boolean =>
  commit >= log.end() || log.all[firstAfter(log.all, commit - 1n)]?.position === commit
