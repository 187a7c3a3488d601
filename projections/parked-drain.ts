import { type Database, isTransient } from '../platform/database.ts'
import { decodeEvent } from '../schemas/decoding.ts'
import { noteHonoured } from './decisions.ts'
import {
  drainParked,
  failedAgain,
  fromJson,
  type ParkedRow,
  ParkedStreamsChanged,
  readParkedStream,
} from './parking.ts'
import type { ProjectionSink } from './projection.ts'

/** Events that are tried together; one by one once that has failed. */
const together = 200

const decodeParked = ({ event, type, data }: ParkedRow) => {
  const stored = fromJson(event)
  return decodeEvent(type === null ? stored : { ...stored, type, data })
}

/**
 * Applies a stream's parked events in order, until one fails again; goes past those that were discarded.
 *
 * @param of.name under which they are parked: the projection's, or `<projection>@<generation>`
 * @param of.partition where the stream lies in the sink's checkpoints
 * @returns how many were applied
 * @throws EngineUnavailable
 */
export const drainStream = async (of: {
  readonly database: Database
  readonly sink: ProjectionSink
  readonly name: string
  readonly stream: string
  readonly partition: number
}): Promise<number> => {
  const { database, sink, name, stream, partition } = of
  let applied = 0
  let limit = together
  for (;;) {
    const parked = await readParkedStream(database, name, stream, limit)
    const [first] = parked
    if (!first) return applied
    const due = parked.filter(({ gap }) => !gap)
    try {
      await sink.applyLate({
        partition,
        events: due.map(decodeParked),
        discarded: parked.filter(({ gap }) => gap).map(({ event }) => fromJson(event).position),
        record: async (transaction) => {
          await drainParked(transaction, name, stream, parked)
          const decided = parked.filter(({ type, gap }) => type !== null || gap).map(({ event }) => fromJson(event))
          if (decided.length > 0) await noteHonoured(transaction, name, decided)
        },
      })
      applied += due.length
    } catch (error) {
      if (isTransient(error)) throw error
      if (error instanceof ParkedStreamsChanged) continue
      if (parked.length === 1) {
        await failedAgain(database, name, stream, first.revision, error)
        return applied
      }
      limit = 1
    }
  }
}
