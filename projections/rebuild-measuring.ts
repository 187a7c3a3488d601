import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Projection } from './projection.ts'
import { BuildFenced, openBuilder } from './rebuild-builder.ts'
import { takeTo } from './rebuild-phases.ts'
import { defaultErrorPolicy } from './verdict.ts'

/** No rebuild has this number. */
const scratch = 0
/** Positions of the log that are looked at, and how long at most, milliseconds. */
const sampleSize = 20_000n
const longestMs = 5_000

/**
 * Builds a scratch generation of the first events of the log, and drops it again.
 *
 * @returns events per second; undefined when there was none to handle
 */
export const measureRate = async (deps: {
  readonly projection: Projection
  readonly store: Pick<EventStore, 'readAll' | 'head' | 'identity'>
  readonly database: Database
  readonly logger: Logger
}): Promise<number | undefined> => {
  const { projection, store, database, logger } = deps
  const { generations } = projection
  if (!generations) return undefined
  await generations.drop(scratch)
  try {
    const builder = await openBuilder({
      projection,
      generation: scratch,
      lanes: 1,
      logIdentity: await store.identity(),
      database,
      policy: defaultErrorPolicy,
      logger,
      onWait: () => undefined,
    })
    const head = await store.head()
    const began = performance.now()
    const worker = {
      builder,
      progressed: async () => true,
      saved: async () => true,
      failed: async (error: unknown) => {
        throw error
      },
    }
    await takeTo(store, [worker], {
      position: head < sampleSize ? head : sampleSize,
      pace: { chunkEvents: () => 2_000, rest: async () => undefined },
      signal: AbortSignal.timeout(longestMs),
    })
    const seconds = (performance.now() - began) / 1_000
    return builder.handled() > 0 ? builder.handled() / seconds : undefined
  } catch (error) {
    // Somebody else measures at the same time: there is no rate then, and no harm.
    if (error instanceof BuildFenced) return undefined
    throw error
  } finally {
    await generations.drop(scratch)
  }
}
