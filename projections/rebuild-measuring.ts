import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { consumerOfGeneration, scratchGeneration as scratch } from '../platform/read-model-generations.ts'
import type { Pace } from './pace.ts'
import { countParked } from './parking.ts'
import type { Projection } from './projection.ts'
import { openBuilder } from './rebuild-builder.ts'
import { takeTo } from './rebuild-phases.ts'
import { defaultErrorPolicy } from './verdict.ts'
import { BuildFenced, WindowLost } from './window-sink.ts'

/** Positions of the log that are looked at, and how long at most, milliseconds. */
const sampleSize = 20_000n
const longestMs = 5_000

/** What building the first events has shown. */
export interface Measurement {
  readonly eventsPerSecond: number
  /** How many were built. */
  readonly events: number
  /** Those of them that could not be applied, and those behind them: a rebuild would park them. */
  readonly failed: number
}

/** Nothing is parked for good, and nobody has to do anything about it. */
const whispering = (logger: Logger): Logger => {
  const quiet = logger.child({ measuring: true })
  const { debug } = quiet
  return Object.assign(quiet, { info: debug, warn: debug, error: debug })
}

/**
 * Builds a scratch generation of the first events of the log at the pace of a rebuild, and drops it again.
 *
 * @param deps.types stored names to read, those that the projection handles
 * @param deps.now milliseconds of a clock that does not go back
 * @returns undefined when there was none to handle
 */
export const measureRate = async (deps: {
  readonly projection: Projection
  readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'identity'>
  readonly database: Database
  readonly types: readonly string[]
  readonly pace: Pace
  readonly logger: Logger
  readonly now?: () => number
}): Promise<Measurement | undefined> => {
  const { projection, store, database, types, pace, now = () => performance.now() } = deps
  const { generations } = projection
  if (!generations || types.length === 0) return undefined
  await generations.drop(scratch)
  try {
    const builder = await openBuilder({
      projection,
      generation: scratch,
      windowEvents: pace.windowEvents,
      lanes: 1,
      store,
      logIdentity: await store.identity(),
      database,
      // However many fail: they are counted, and gone with the scratch.
      policy: { ...defaultErrorPolicy, maxParkedStreams: Number.POSITIVE_INFINITY },
      logger: whispering(deps.logger),
      onWait: () => undefined,
    })
    const head = await store.head()
    let rested = 0
    const began = now()
    const worker = {
      builder,
      progressed: async () => true,
      saved: async () => true,
      failed: async (error: unknown) => {
        throw error
      },
    }
    const rest: Pace['rest'] = async (workedMs, signal) => {
      const from = now()
      await pace.rest(workedMs, signal)
      rested += now() - from
    }
    await takeTo(store, [worker], {
      position: head < sampleSize ? head : sampleSize,
      types,
      pace: { ...pace, rest },
      signal: AbortSignal.timeout(longestMs),
    })
    await builder.flush()
    const elapsed = now() - began
    const events = builder.handled()
    if (events === 0) return undefined
    // It rests at the beginning in any case, before it knows whether others are at work. A long rebuild hardly notices.
    const isBusy = (await store.head()) > head
    const { parked: failed } = await countParked(database, consumerOfGeneration(projection.name, scratch))
    return { eventsPerSecond: events / ((isBusy ? elapsed : elapsed - rested) / 1_000), events, failed }
  } catch (error) {
    // Somebody else measures at the same time: there is no rate then, and no harm.
    if (error instanceof BuildFenced) return undefined
    if (error instanceof WindowLost) return await measureRate({ ...deps, pace: { ...pace, windowEvents: () => 0 } })
    throw error
  } finally {
    await generations.drop(scratch)
  }
}
