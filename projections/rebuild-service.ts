import { randomUUID } from 'node:crypto'
import { type Database, isTransient } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import { createRelevance } from '../platform/relevance.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { createPace, type Pace } from './pace.ts'
import type { Projection } from './projection.ts'
import type { Asked, Rebuild, RebuildPlan, RebuildService } from './rebuild.ts'
import { measureRate } from './rebuild-measuring.ts'
import { type RebuildRecords, RebuildUnderWay } from './rebuild-records.ts'
import { findStale } from './stale.ts'

/** Rows that are compared before a swap when nobody says how many. */
const usualSample = 1_000

/** What two transactions have blocked each other at goes well the next time. */
const repeatedly = async (work: () => Promise<void>): Promise<void> => {
  for (let tries = 1; ; tries += 1)
    try {
      return await work()
    } catch (error) {
      if (tries === 5 || !isTransient(error)) throw error
    }
}

type Rebuildable = Projection & { readonly generations: NonNullable<Projection['generations']> }

/**
 * The rebuilds as they are asked for and told of. It only writes down what is wanted; a rebuilder does it.
 *
 * @param deps.lanes writers that share the load of a projection that allows it
 */
export const createRebuildService = (deps: {
  readonly projections: readonly Projection[]
  readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'identity' | 'countTypes'>
  readonly records: RebuildRecords
  readonly database: Database
  readonly logger: Logger
  readonly lanes: number
  /** Compares the log with what is derived from it; see `LogGuard`. */
  readonly examine?: () => Promise<unknown>
  /** How consumers without a read model begin anew. */
  readonly resets?: Readonly<Record<string, () => Promise<unknown>>>
}): RebuildService => {
  const { store, records, database, logger, lanes, resets = {} } = deps

  const named = (name: string): Rebuildable => {
    const projection = deps.projections.find((each) => each.name === name)
    if (!projection) throw new CommandRejected('projection-not-found', { projection: name })
    if (!projection.generations) throw new CommandRejected('nothing-to-rebuild', { projection: name })
    return projection as Rebuildable
  }

  const nextGeneration = async ({ name, generations }: Rebuildable): Promise<number> => {
    const known = (await records.generations(name)).map(({ generation }) => generation)
    // The live one is number 1, also before it exists.
    return Math.max(await generations.highest(), await records.highest(name), 1, ...known) + 1
  }

  const latest = async (projection: string): Promise<Rebuild> => {
    const [rebuild] = await records.latest(projection)
    if (!rebuild) throw new CommandRejected('rebuild-not-found', { projection })
    return rebuild
  }

  const begin: RebuildRecords['begin'] = async (rebuilds, asked) => {
    try {
      await records.begin(rebuilds, asked)
    } catch (error) {
      if (!(error instanceof RebuildUnderWay)) throw error
      const { projection } = error
      const { state } = await latest(projection)
      throw new CommandRejected('rebuild-running', { projection, state })
    }
  }

  const eventsFor = (counts: ReadonlyMap<string, bigint>, { types }: Projection): Map<string, bigint> => {
    const relevance = createRelevance(types)
    return new Map([...counts].filter(([type]) => relevance.byName(type)).sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  const sum = (counts: ReadonlyMap<string, bigint>): bigint =>
    [...counts.values()].reduce((all, each) => all + each, 0n)

  const plan = async (
    projection: Rebuildable,
    counts: ReadonlyMap<string, bigint>,
    pace: Pace,
  ): Promise<RebuildPlan> => {
    const { name, begins } = projection
    const events = eventsFor(counts, projection)
    const eventsTotal = sum(events)
    const known = await records.lastRate(name)
    const types = [...events.keys()]
    const measured =
      known === undefined ? await measureRate({ projection, store, database, types, pace, logger }) : undefined
    const rate = known ?? measured?.eventsPerSecond
    return {
      projection: name,
      generation: await nextGeneration(projection),
      eventsByType: Object.fromEntries(events),
      eventsTotal,
      rowsExpected: begins ? sum(new Map([...events].filter(([type]) => begins.includes(type)))) : null,
      eventsPerSecond: rate ?? null,
      secondsExpected: rate === undefined ? null : Number(eventsTotal) / rate,
      measured: measured ? { events: measured.events, failed: measured.failed } : null,
    }
  }

  /** From one of these states to another one, told with who asked. */
  const change = async (
    projection: string,
    from: readonly Rebuild['state'][],
    to: Rebuild['state'],
    asked: Asked,
  ): Promise<Rebuild> => {
    named(projection)
    await latest(projection)
    if (await records.change(projection, from, to)) logger.info({ projection, ...asked }, `the rebuild is ${to}`)
    return latest(projection)
  }

  return {
    plan: async (names) => {
      const projections = names.map(named)
      const counts = await store.countTypes(await store.head())
      const pace = createPace(store.head)
      const plans: RebuildPlan[] = []
      for (const projection of projections) plans.push(await plan(projection, counts, pace))
      return plans
    },
    start: async (names, asked, { sample = usualSample } = {}) => {
      const projections = [...new Set(names)].map(named)
      const run = randomUUID()
      const target = await store.head()
      const counts = await store.countTypes(target)
      const rebuilds = await Promise.all(
        projections.map(async (projection) => ({
          run,
          projection: projection.name,
          generation: await nextGeneration(projection),
          version: projection.version,
          phase: 'loading' as const,
          sample: sample === 'all' ? null : sample,
          lanes: projection.partitionedByStream ? lanes : 1,
          target,
          eventsTotal: sum(eventsFor(counts, projection)),
        })),
      )
      await begin(rebuilds, asked)
      for (const { projection, generation } of rebuilds)
        logger.info({ projection, generation, ...asked }, 'a rebuild begins')
      return Promise.all(projections.map(({ name }) => latest(name)))
    },
    cancel: (projection, asked) => change(projection, ['running'], 'cancelled', asked),
    resume: (projection, asked) => change(projection, ['cancelled', 'failed'], 'running', asked),
    swapBack: async (name, asked) => {
      const { version } = named(name)
      const putBack = await records.putBack()
      const kept = (await records.generations(name)).filter(
        ({ state, generation }) => state === 'kept' && !putBack.has(`${name}@${generation}`),
      )
      const [last] = kept.sort((a, b) => ((a.replacedAt ?? '') < (b.replacedAt ?? '') ? 1 : -1))
      if (!last) throw new CommandRejected('generation-not-found', { projection: name })
      const target = await store.head()
      const phase = last.version === version ? ('catching-up' as const) : ('swapping' as const)
      const { generation } = last
      const place = { projection: name, generation, version: last.version, target, eventsTotal: 0n, lanes: 0 }
      await begin([{ ...place, run: randomUUID(), phase, sample: usualSample }], asked)
      logger.info({ projection: name, generation, ...asked }, 'the generation before is swapped back')
      return latest(name)
    },
    drop: async (name, generation, asked) => {
      const { generations } = named(name)
      const found = (await records.generations(name)).find((each) => each.generation === generation)
      if (!found) throw new CommandRejected('generation-not-found', { projection: name, generation })
      if (found.state === 'live') throw new CommandRejected('generation-live', { projection: name, generation })
      const rebuild = (await records.latest(name)).find((each) => each.generation === generation)
      if (rebuild?.state === 'running') throw new CommandRejected('generation-live', { projection: name, generation })
      const building = rebuild && rebuild.state !== 'done' && rebuild.state !== 'dropped'
      // Somebody may have resumed it meanwhile.
      if (building && !(await records.change(name, ['cancelled', 'failed'], 'dropped', generation)))
        throw new CommandRejected('generation-live', { projection: name, generation })
      // A swap that is being given up at this moment takes the same locks in another order.
      await repeatedly(() => generations.drop(generation))
      await records.dropped(name, generation)
      logger.info({ projection: name, generation, ...asked }, 'a generation was dropped')
    },
    rebuilds: (projection) => records.latest(projection),
    generations: (projection) => records.generations(projection),
    stale: async () => {
      const putBack = await records.putBack()
      return findStale({
        projections: deps.projections,
        ...{ store, database, putBack },
        resettable: Object.keys(resets),
      })
    },
    reset: async (asked) => {
      await deps.examine?.()
      const names = [...(await records.putBack()).keys()].filter((name) => name in resets)
      for (const name of names) {
        await resets[name]?.()
        logger.warn({ consumer: name, ...asked }, 'a consumer begins anew, as an older log was put back')
      }
      return names
    },
  }
}
