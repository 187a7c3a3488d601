import type { EventStore } from './event-store.ts'
import { type EventPlace, holdsEvent } from './log-continuity.ts'

/** The last events of the log as they were seen from time to time, newest first. */
export interface Trail {
  /** uuid of the log. */
  readonly log: string
  readonly places: readonly EventPlace[]
}

/**
 * Keeps a trail beside what was derived from the log, in the same engine: both are lost or put back together. Engine
 * failures are `EngineUnavailable`.
 */
export interface LogTrail {
  /** Undefined when nothing was ever written. */
  read(): Promise<Trail | undefined>
  write(trail: Trail): Promise<void>
}

/** So many places are kept: with one a second at most, how precisely is known where an older log was put back. */
export const trailLength = 16

export const toTrailJson = ({ log, places }: Trail): string =>
  JSON.stringify({
    log,
    places: places.map(({ id, stream, revision, position }) => ({
      ...{ id, stream },
      ...{ revision: revision.toString(), position: position.toString() },
    })),
  })

export const fromTrailJson = (text: string): Trail => {
  const { log, places } = JSON.parse(text) as {
    log: string
    places: { id: string; stream: string; revision: string; position: string }[]
  }
  return {
    log,
    places: places.map(({ id, stream, revision, position }) => ({
      ...{ id, stream },
      ...{ revision: BigInt(revision), position: BigInt(position) },
    })),
  }
}

/** Those places, newest first, from the first on that the log still holds. @throws EngineUnavailable */
export const stillHeld = async (
  store: Pick<EventStore, 'readStream'>,
  places: readonly EventPlace[],
): Promise<readonly EventPlace[]> => {
  for (const [index, place] of places.entries()) if (await holdsEvent(store, place)) return places.slice(index)
  return []
}
