import { type Database, endConnection } from '../platform/database.ts'
import type { EventStore } from '../platform/event-store.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { consumerOfGeneration, schemaOfGeneration } from '../platform/read-model-generations.ts'
import { ReadModelReplaced } from '../platform/standing.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { builtVersion } from './admission.ts'
import { createLogReader, loadGiven, PartitionsUnknown, reachOf } from './verify-log.ts'
import { type Place, type Verifiable, type VerifiableDependencies, verifiables } from './verify-models.ts'
import { createPersonCheck } from './verify-persons.ts'
import { createTally, mostRepairs, type VerifyReport } from './verify-report.ts'
import { verifyRows } from './verify-rows.ts'
import { eventsOfRow, type RowRun } from './verify-run.ts'
import { SumsElsewhere, verifySums } from './verify-sums.ts'
import { UnreadableEvent } from './verify-unreadable.ts'

export type { Difference, VerifyReport } from './verify-report.ts'

export interface VerifyOptions {
  /** A generation that is not live; default: the live one. */
  readonly generation?: number | undefined
  /** So many rows at random, and the streams of so many events at random, instead of all. Sums are verified whole. */
  readonly sample?: number | undefined
  /** Compare as of this position, once the read model has reached it; rows that have gone past it are left out. */
  readonly at?: bigint | undefined
  /** Put right what differs, and verify that again. */
  readonly repair?: { readonly operator: string; readonly reason: string } | undefined
  /** Gives up. */
  readonly signal?: AbortSignal | undefined
  /** Told how many rows have been compared so far; begins again when the verification does. */
  readonly onCompared?: ((rows: number) => void) | undefined
}

export interface Verifier {
  /** The projections that can be verified. */
  readonly names: readonly string[]
  /**
   * Folds the log independently of a projection and compares it with what the projection wrote. Writers go on.
   *
   * @throws CommandRejected `projection-not-found`, `verify-position-not-reached`, `verify-position-passed`,
   * `verify-interrupted`, `verify-repair-refused`, `verify-event-unreadable`, `other-version`; UndecodableEvent, ReadModelAbsent,
   * EngineUnavailable
   */
  verify(name: string, options?: VerifyOptions): Promise<VerifyReport>
}

export interface VerifierDependencies extends VerifiableDependencies {
  readonly store: EventStore
  readonly logger: Logger
  readonly metrics: Metrics
  /** Of this code, by projection: only the version that has built a read model puts it right. */
  readonly versions: ReadonlyMap<string, number>
  /** Waits until a consumer has reached a position; false when the time, in milliseconds, ran out first. */
  readonly reached: (consumer: string, position: bigint, ms: number, signal?: AbortSignal) => Promise<boolean>
  /** Keys that are held in memory at once; more are verified in several passes over the log. */
  readonly mostHeld?: number
  /** How long a position that lies ahead is waited for, milliseconds. */
  readonly waitMs?: number
}

const consumerOf = (name: string, generation: number | undefined): string =>
  generation === undefined ? name : consumerOfGeneration(name, generation)

/** Times that a verification begins anew because the read model was emptied or replaced under it. */
const mostTries = 3

type Counted = Omit<VerifyReport, 'seconds' | 'repaired'>

/** One at a time: each may read the whole log. */
const createTurns = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = last.then(work, work)
    last = mine.catch(() => undefined)
    return mine
  }
}

/** Keeps other processes from repairing the same read model: two that add what is lacking would add it twice. */
const aloneWith = async <Result>(database: Database, name: string, work: () => Promise<Result>): Promise<Result> => {
  const client = await database.connect()
  try {
    const { rows } = await client.query('select pg_try_advisory_lock(7310578, hashtext($1)) as locked', [name])
    if (!rows[0]?.locked)
      throw new CommandRejected('verify-repair-refused', {
        projection: name,
        detail: 'Another repair of it is running.',
      })
    return await work()
  } finally {
    await endConnection(client)
  }
}

export const createVerifier = (deps: VerifierDependencies): Verifier => {
  const { store, vault, logger, metrics, partitionOf, mostHeld = 500_000, waitMs = 10_000 } = deps
  const models = verifiables(deps)
  const inTurn = createTurns()

  /** Verifies once, whole or only some keys, and tells how to repair what was found. */
  const look = async (verifiable: Verifiable, name: string, options: VerifyOptions, only?: readonly string[]) => {
    const { generation, sample, at, signal = new AbortController().signal } = options
    const log = createLogReader(store, signal, await loadGiven(deps.database, name))
    const persons = createPersonCheck({ open: vault.open, log })
    const tally = createTally(options.onCompared)
    const place: Place = {
      generation,
      persons,
      consumer: consumerOf(name, generation),
      schema: generation === undefined ? name : schemaOfGeneration(name, generation),
    }
    const common = { log, partitionOf, tally, at, mostHeld }
    const report = (found: { position: bigint; parked: ReadonlySet<string> }, sampled: number | null): Counted => ({
      ...{ projection: name, generation: generation ?? null, position: found.position, sample: sampled },
      ...{ events: log.count(), parkedStreams: found.parked.size, ...tally.counts, differences: tally.differences },
    })
    if (verifiable.kind === 'sums') {
      const { model } = verifiable
      const source = verifiable.source(place)
      if (options.repair) await source.prepare?.()
      const { wrong, ...found } = await verifySums({ ...common, model, source })
      return { report: report(found, null), keys: [...wrong.keys()], repair: () => source.correct(wrong) }
    }
    const { model } = verifiable
    const source = verifiable.source(place)
    const run: RowRun = { ...common, model, source, persons, sample, only }
    const found = await verifyRows(run)
    const keys = [...tally.keys]
    const repair = () =>
      source.repair(keys, (key, standing) =>
        eventsOfRow(run, key, reachOf(standing, partitionOf), new Set(standing.skipped)),
      )
    return { report: report(found, sample ?? null), keys, repair }
  }

  const persist = async (verifiable: Verifiable, name: string, options: VerifyOptions, only?: readonly string[]) => {
    for (let tries = 1; ; tries += 1)
      try {
        return await look(verifiable, name, options, only)
      } catch (error) {
        if (error instanceof SumsElsewhere)
          throw new CommandRejected('verify-position-passed', {
            detail: `Sums can be compared only where they stand; ${name} stands at ${error.message}.`,
          })
        if (error instanceof PartitionsUnknown)
          throw new CommandRejected('verify-interrupted', { detail: `${name}: ${error.message}; set KAFKA_BROKERS.` })
        // An operator may have decided about it since the decisions were read.
        if (error instanceof UnreadableEvent && tries === 1) continue
        if (error instanceof UnreadableEvent) throw error.refusal(name)
        if (!(error instanceof ReadModelReplaced)) throw error
        if (tries === mostTries) throw new CommandRejected('verify-interrupted', { projection: name })
      }
  }

  const reach = async (name: string, { at, generation, signal }: VerifyOptions): Promise<void> => {
    if (at === undefined) return
    const refusal = (detail: string) => new CommandRejected('verify-position-not-reached', { detail })
    const head = await store.head()
    if (at > head) throw refusal(`The log ends at ${head}.`)
    if (!(await deps.reached(consumerOf(name, generation), at, waitMs, signal)))
      throw refusal(`${name} has not reached position ${at} within ${waitMs} ms.`)
  }

  const repaired = async (
    verifiable: Verifiable,
    name: string,
    options: VerifyOptions,
    who: NonNullable<VerifyOptions['repair']>,
  ): Promise<Omit<VerifyReport, 'seconds'>> => {
    if (options.at !== undefined)
      throw new CommandRejected('verify-repair-refused', { detail: 'A repair cannot be of a position in the past.' })
    const [built, code] = [await builtVersion(deps.database, name), deps.versions.get(name)]
    if (built !== undefined && built !== code)
      throw new CommandRejected('other-version', { projection: name, built, code })
    const { report, keys, repair } = await persist(verifiable, name, options)
    const before = report.differences
    if (keys.length === 0) return { ...report, repaired: { rows: 0, differences: before } }
    if (keys.length > mostRepairs)
      throw new CommandRejected('verify-repair-refused', {
        projection: name,
        detail: `More than ${mostRepairs} rows differ: rebuild it.`,
      })
    await repair().catch((error: unknown) => {
      throw error instanceof UnreadableEvent ? error.refusal(name) : error
    })
    logger.warn({ projection: name, ...who, rows: keys.length, keys: keys.slice(0, 20) }, 'a read model was repaired')
    const { report: after } = await persist(verifiable, name, options, keys)
    const { missing, unexpected, differing, differenceCount, differences } = after
    const left = { missing, unexpected, differing, differenceCount, differences }
    return { ...report, ...left, repaired: { rows: keys.length, differences: before } }
  }

  return {
    names: [...models.keys()],
    verify: (name, options = {}) =>
      inTurn(async () => {
        const started = performance.now()
        const verifiable = models.get(name)
        if (!verifiable)
          throw new CommandRejected('projection-not-found', { projection: name, known: [...models.keys()] })
        await reach(name, options)
        const { repair } = options
        const found = repair
          ? await aloneWith(deps.database, name, () => repaired(verifiable, name, options, repair))
          : { ...(await persist(verifiable, name, options)).report, repaired: null }
        const seconds = (performance.now() - started) / 1_000
        if (options.generation === undefined) {
          metrics.verifyDifferences.set({ projection: name }, found.differenceCount)
          metrics.verifySeconds.set({ projection: name }, seconds)
        }
        const { differenceCount, compared, events } = found
        const told = { projection: name, position: String(found.position), differenceCount, compared, events }
        if (differenceCount > 0) logger.error(told, 'a read model differs from the log')
        else logger.info(told, 'a read model equals the log')
        return { ...found, seconds: Math.round(seconds * 1_000) / 1_000 }
      }),
  }
}
