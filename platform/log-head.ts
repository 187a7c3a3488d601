import type { EventStore } from './event-store.ts'

/** The log ends before something that was read from a copy of it: an older log was put in its place. */
export class BeyondTheLog extends Error {
  constructor(position: bigint, head: bigint) {
    super(`the feed holds position ${position}, but the log ends at ${head}: an older log was put back`)
    this.name = 'BeyondTheLog'
  }
}

/** The last known end of the log, shared by all consumers of the process. */
export interface LogHead {
  known(): bigint
  /** Asks the store. @throws EngineUnavailable */
  refresh(): Promise<bigint>
  /**
   * The head, which is at least this position; asks the store only when less is known.
   *
   * @throws BeyondTheLog, EngineUnavailable
   */
  from(position: bigint): Promise<bigint>
}

export const createLogHead = (store: Pick<EventStore, 'head'>): LogHead => {
  let known = 0n
  const refresh = async (): Promise<bigint> => {
    const head = await store.head()
    if (head > known) known = head
    return known
  }
  return {
    known: () => known,
    refresh,
    from: async (position) => {
      if (position <= known) return known
      const head = await refresh()
      if (position > head) throw new BeyondTheLog(position, head)
      return head
    },
  }
}
