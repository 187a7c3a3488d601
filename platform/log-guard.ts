import type { EventStore } from './event-store.ts'
import { EngineUnavailable } from './failures.ts'
import { type EventPlace, holdsEvent } from './log-continuity.ts'
import { type LogTrail, stillHeld, trailLength } from './log-trail.ts'
import type { Logger } from './logging.ts'
import type { Metrics } from './metrics.ts'
import { pause } from './pause.ts'
import type { PutBack, PutBackRecords } from './put-back-records.ts'

/** An engine in which consumers keep what they derive from the log, together with their checkpoints and a trail. */
export interface Keeping {
  readonly engine: string
  readonly trail: LogTrail
  /** Whether a consumer's checkpoints are here. */
  has(consumer: string): boolean
  /**
   * Where consumers stand, the furthest of their partitions, and in which log; the generations of a projection that are
   * not live, too: `order_details@2`. @throws EngineUnavailable
   */
  checkpoints(): Promise<readonly { consumer: string; position: bigint; log: string | undefined }[]>
}

/**
 * Sees to it that nothing is applied on top of a log that was put back to an older backup.
 *
 * Beside whatever is derived from the log lies a trail: the last events of the log as they were seen from second to second.
 * A log that no longer holds them is an older one. A consumer whose checkpoint lies beyond the log, or beyond the last
 * event of the trail that the log still holds, is ahead, and that is written down: it stays so however far the log grows.
 */
export interface LogGuard {
  /** Looks, and says why a consumer must not go on; undefined when it may. @throws EngineUnavailable */
  ahead(consumer: string): Promise<string | undefined>
  /** Looks at every engine that answers; says who is ahead. @throws EngineUnavailable when PostgreSQL is away */
  examine(): Promise<readonly PutBack[]>
  /** Keeps the trails, until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

/** @param deps.everyMs how often the trails are gone on with */
export const createLogGuard = (deps: {
  readonly store: Pick<EventStore, 'head' | 'last' | 'identity' | 'readStream'>
  readonly keepings: readonly Keeping[]
  readonly records: PutBackRecords
  readonly logger: Logger
  readonly metrics: Metrics
  readonly everyMs?: number
}): LogGuard => {
  const { store, keepings, records, logger, metrics, everyMs = 1_000 } = deps

  /** Compares one engine with the log; returns the trail as far as the log holds it. */
  const look = async (keeping: Keeping): Promise<readonly EventPlace[]> => {
    const lives = await records.lives()
    // Before the head is read, or events that come in between would make a checkpoint look ahead.
    const checkpoints = await keeping.checkpoints()
    const trail = await keeping.trail.read()
    const [log, head] = [await store.identity(), await store.head()]
    const places = trail?.log === log ? trail.places : []
    const held = await stillHeld(store, places)
    const lost = held.length < places.length ? places[0] : undefined
    const known = lost ? (held[0]?.position ?? 0n) : head
    const other = trail && trail.log !== log ? trail.log : undefined
    const found = checkpoints.flatMap(({ consumer, position, log: its = other }): PutBack[] => {
      if (position === 0n) return []
      if (its !== undefined && its !== log) return [{ consumer, why: `built from log ${its}, this is ${log}` }]
      if (position <= known) return []
      const where = `its checkpoint is ${position}`
      if (!lost) return [{ consumer, why: `${where}, the log ends at ${head}: an older log was put back` }]
      const why = `${where}, but the log is only known to be the same up to ${known}: an older log was put back`
      return [{ consumer, why }]
    })
    const looked = { lives, lost: lost !== undefined || other !== undefined }
    if (found.length > 0 || looked.lost) {
      const added = await records.add(found, looked)
      if (added.length > 0)
        logger.fatal({ engine: keeping.engine, consumers: added, ...found[0] }, 'an older log was put back')
    }
    // Only now: whoever dies before finds the same again.
    if (trail && (lost || other !== undefined)) await keeping.trail.write({ log, places: held })
    return held
  }

  /** Goes on with one trail as long as nothing fails. */
  const keepUp = (keeping: Keeping) => {
    let places: readonly EventPlace[] | undefined
    let told = false
    return async (): Promise<void> => {
      try {
        places ??= await look(keeping)
        const [newest] = places
        const last = await store.last()
        if (last?.id === newest?.id) return
        if (newest && !(await holdsEvent(store, newest))) places = await look(keeping)
        if (!last) return
        const { id, stream, revision, position } = last
        places = [{ id, stream, revision, position }, ...places].slice(0, trailLength)
        await keeping.trail.write({ log: await store.identity(), places })
        told = false
      } catch (error) {
        // It may have been put back meanwhile.
        places = undefined
        if (!(error instanceof EngineUnavailable)) logger.error({ err: error }, 'the trail of the log broke off')
        else if (!told) logger.debug({ engine: keeping.engine, error: error.message }, 'the trail of the log waits')
        told = true
      }
    }
  }

  const count = async (): Promise<void> => {
    const known = await records.all().catch(() => undefined)
    if (known) metrics.putBackConsumers.set(known.length)
  }

  return {
    ahead: async (consumer) => {
      for (const keeping of keepings) if (keeping.has(consumer)) await look(keeping)
      return records.of(consumer)
    },
    examine: async () => {
      for (const keeping of keepings)
        await look(keeping).catch((error: unknown) => {
          if (!(error instanceof EngineUnavailable)) throw error
          logger.debug({ engine: keeping.engine, error: error.message }, 'an engine could not be compared with the log')
        })
      return records.all()
    },
    run: async (signal) => {
      const steps = keepings.map(keepUp)
      const step = () => Promise.all([...steps.map((each) => each()), count()])
      while (!signal.aborted) {
        await step()
        await pause(everyMs, signal)
      }
      // What consumers had when they stopped.
      await step()
    },
  }
}
