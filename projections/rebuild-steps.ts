import type { Database } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { createRelevance } from '../platform/relevance.ts'
import { createPace, type Pace } from './pace.ts'
import { isDecidedSince, refuseParkedBesidesLive } from './parked-generation.ts'
import type { Projection } from './projection.ts'
import { takeTo } from './rebuild-phases.ts'
import type { RebuildRecords, StoredRebuild } from './rebuild-records.ts'
import { loadInThreads, type StartThread } from './rebuild-threads.ts'
import { countingRows } from './rebuild-verified-rows.ts'
import { createRebuildWorkers } from './rebuild-worker.ts'
import { defaultErrorPolicy, type ErrorPolicy } from './verdict.ts'
import { BuildFenced } from './window-sink.ts'

/**
 * Compares a generation with the log; a sentence about the differences, or undefined when there is none.
 *
 * @param onCompared told how many rows have been compared so far
 */
export type VerifyGeneration = (
  projection: string,
  generation: number,
  sample: number | null,
  signal: AbortSignal,
  onCompared: (rows: number) => void,
) => Promise<string | undefined>

/**
 * What others append while it is loaded is loaded too, beside whoever is served and without indexes, until so few positions are
 * left: those are caught up with. In EventStoreDB, where positions are bytes, it ends when no less comes than is loaded.
 */
const fewPositions = 2_000n

export interface RebuildStepDependencies {
  readonly projections: readonly Projection[]
  readonly store: Pick<EventStore, 'readAll' | 'readStream' | 'head' | 'identity' | 'countTypes' | 'splits'>
  readonly records: RebuildRecords
  readonly database: Database
  /** Of the feed. */
  readonly partitions: readonly number[]
  readonly verify: VerifyGeneration
  readonly logger: Logger
  readonly metrics: Metrics
  readonly policy?: Partial<ErrorPolicy>
  /** Default: that of `createPace`. */
  readonly pace?: Pace
  /** Loads in threads beside this one; default: here. */
  readonly startThread?: StartThread
}

/**
 * The steps of rebuilds that read the log together. A rebuild: loading (from the beginning to where the log ended, and on
 * until little has come meanwhile, without indexes) -> indexing -> catching-up -> verifying -> swapping -> done; cancelled | failed from any of them, and back when
 * it is resumed. Each step is written down when it is over and is harmless when repeated.
 *
 * @returns does the earliest step that one of them is at; throws what all wait for
 */
export const createRebuildSteps = (deps: RebuildStepDependencies) => {
  const { store, records, partitions, logger, metrics } = deps
  const projections = new Map(deps.projections.map((projection) => [projection.name, projection]))
  const policy = { ...defaultErrorPolicy, ...deps.policy }
  const { pace = createPace(store.head) } = deps
  const { openWorker, openWorkers, giveUp, countUpTo } = createRebuildWorkers({ ...deps, projections, policy, pace })

  /** Whoever stops or has lost the rebuild says nothing of it: another process goes on. */
  const giveUpUnless = async (signal: AbortSignal, rebuild: StoredRebuild, error: unknown): Promise<void> => {
    if (signal.aborted) throw error
    await giveUp(rebuild, error)
  }

  const generationsOf = ({ projection: name }: StoredRebuild) => {
    const generations = projections.get(name)?.generations
    if (!generations) throw new Error(`this version has no read model ${name}`)
    return generations
  }

  /** The names to read: what the projections handle, and what this code does not know. */
  const typesFor = async (rebuilds: readonly StoredRebuild[], upTo: bigint): Promise<readonly string[]> => {
    const known = rebuilds.flatMap(({ projection }) => projections.get(projection)?.types ?? [])
    const concerns = createRelevance(known)
    const found = [...(await store.countTypes(upTo)).keys()]
    return [...new Set([...known, ...found.filter(concerns.byName)])]
  }

  const load = async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    const headBefore = await store.head()
    const position = rebuilds.reduce((most, { target }) => (target > most ? target : most), 0n)
    // It looks whether others are at work: until the load begins, there is time for a second look.
    await pace.rest(0, signal)
    const types = await typesFor(rebuilds, position)
    const workers = await openWorkers(rebuilds)
    const from = workers.reduce(
      (least, { builder }) => (builder.position() < least ? builder.position() : least),
      position,
    )
    const order = { position, types, pace: pace.known?.(), policy, signal }
    const loaded = deps.startThread
      ? await loadInThreads({ startThread: deps.startThread, splits: store.splits, logger }, workers, order)
      : await takeTo(store, workers, { position, types, pace, signal })
    if (loaded.length === 0) return
    const head = await store.head()
    // Those who append half as fast as it loads, or faster, would keep it loading for long or for ever.
    const goesOn = head - position > fewPositions && 2n * (head - headBefore) <= position - from
    for (const { rebuild, builder, saved } of loaded) {
      if (!(await saved())) continue
      if (goesOn)
        await records.extend(rebuild, { target: head, eventsTotal: await countUpTo(builder.projection, head) })
      else await records.loaded(rebuild)
    }
  }

  const index = async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    for (const rebuild of rebuilds)
      try {
        const sink = generationsOf(rebuild).at(rebuild.generation)
        await sink.prepare(await store.identity())
        await sink.complete()
        await sink.settle?.(partitions)
        await records.progress(rebuild, { phase: 'catching-up' })
      } catch (error) {
        await giveUpUnless(signal, rebuild, error)
      }
  }

  const catchUp = async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    const workers = await openWorkers(rebuilds)
    const position = await store.head()
    for (const { rebuild, saved } of await takeTo(store, workers, { position, pace, signal }))
      if (await saved()) await records.progress(rebuild, { phase: 'verifying' })
  }

  const verify = async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    for (const rebuild of rebuilds) {
      const { projection, generation, sample } = rebuild
      try {
        const { onCompared, settled } = countingRows(records, rebuild)
        const differs = await deps.verify(projection, generation, sample, signal, onCompared).finally(settled)
        if (differs !== undefined) throw new Error(`the new generation differs from the log: ${differs}`)
        await records.progress(rebuild, { phase: 'swapping' })
      } catch (error) {
        await giveUpUnless(signal, rebuild, error)
      }
    }
  }

  const swap = async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    const hurried = { ...pace, rest: async () => undefined }
    for (const rebuild of rebuilds)
      try {
        const { projection: name, generation: to } = rebuild
        const generations = generationsOf(rebuild)
        const [live] = (await records.generations(name)).filter(({ state }) => state === 'live')
        const change = {
          from: live?.generation ?? 1,
          to,
          partitions,
          logIdentity: await store.identity(),
          record: (transaction: Parameters<typeof records.swapped>[0]) => records.swapped(transaction, rebuild),
        }
        // Left by another version of the code, which alone may write to it.
        if (rebuild.version !== projections.get(name)?.version) await generations.swap({ ...change, reach: undefined })
        else {
          const worker = await openWorker(rebuild)
          const reach = async (): Promise<bigint> => {
            const position = await store.head()
            const [reached] = await takeTo(store, [worker], { position, pace: hurried, signal })
            if (!reached) throw new BuildFenced(worker.waitsFor() ?? `${name} was not brought to the end of the log`)
            return position
          }
          // Most of it before anybody has to stand still.
          await reach()
          if (!(await worker.saved())) continue
          const { projection, partitionOf, drainParked } = worker.builder
          // Again: what was retried may need events that have come since.
          const drained = await drainParked()
          await refuseParkedBesidesLive({ ...change, ...deps, projection, partitionOf, generation: to })
          // Whoever writes the live generation stands still meanwhile, so nothing is waited for.
          worker.hurry()
          const reachAlone = async (): Promise<bigint> => {
            const position = await reach()
            if (await isDecidedSince({ database: deps.database, projection: name, generation: to }, drained))
              throw new BuildFenced(
                `what ${name} has parked was decided upon in the meantime; it is swapped in after that`,
              )
            return position
          }
          await generations.swap({ ...change, reach: reachAlone })
        }
        logger.info({ projection: name, generation: to }, 'another generation of the read model is live')
        metrics.rebuilds.inc({ projection: name, outcome: 'swapped' })
      } catch (error) {
        await giveUpUnless(signal, rebuild, error)
      }
  }

  return async (rebuilds: readonly StoredRebuild[], signal: AbortSignal): Promise<void> => {
    const those = (phase: StoredRebuild['phase']) => rebuilds.filter((rebuild) => rebuild.phase === phase)
    for (const [phase, work] of [
      ['loading', load],
      ['indexing', index],
      ['catching-up', catchUp],
      ['verifying', verify],
      ['swapping', swap],
    ] as const) {
      const due = those(phase)
      if (due.length > 0) return work(due, signal)
    }
  }
}
