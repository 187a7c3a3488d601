import type { Database, Queryable } from '../platform/database.ts'
import { removePutBack } from '../platform/put-back-records.ts'
import { liveGeneration } from '../platform/read-model-generations.ts'
import type { Asked, Generation, Rebuild } from './rebuild.ts'

/** A rebuild as who works on it sees it. */
export interface StoredRebuild extends Rebuild {
  /** Rows to compare before the swap; null: all. */
  readonly sample: number | null
  readonly lanes: number
  /** To where it is loaded: the end of the log when it began, or later. */
  readonly target: bigint
}

const columns = `run, projection, generation, version, phase, state, sample, lanes, target, events_total as "eventsTotal",
  events_done as "eventsDone", position, events_per_second as "eventsPerSecond", rows_verified as "rowsVerified",
  error, operator, reason, started_at as "startedAt", updated_at as "updatedAt", finished_at as "finishedAt"`

const withTimeLeft = (row: Omit<StoredRebuild, 'secondsLeft'>): StoredRebuild => {
  const { eventsTotal, eventsDone, eventsPerSecond: rate } = row
  const left = eventsTotal > eventsDone ? Number(eventsTotal - eventsDone) : 0
  // Nobody knows how long what comes after the events will take.
  const reading = row.phase === 'loading' || row.phase === 'catching-up'
  return { ...row, secondsLeft: row.state === 'running' && reading && rate ? left / rate : null }
}

type New = Pick<
  StoredRebuild,
  'run' | 'projection' | 'generation' | 'version' | 'phase' | 'sample' | 'lanes' | 'target' | 'eventsTotal'
>

/** Somebody rebuilds one of the projections already, or one that was stopped waits to be resumed or dropped. */
export class RebuildUnderWay extends Error {
  readonly projection: string
  constructor(projection: string) {
    super(`a rebuild of ${projection} is under way`)
    this.projection = projection
  }
}

/** It is not to go on, and not to be swapped in. */
export class RebuildStopped extends Error {}

/** The condition of the unique index `one_rebuild_at_a_time`. */
const unended = `state = 'running' or (state in ('cancelled', 'failed') and lanes > 0)`

/** What is written down of rebuilds and generations: platform.rebuilds and platform.generations. */
export const createRebuildRecords = (database: Database) => {
  const read = async (condition: string, values: readonly unknown[]): Promise<StoredRebuild[]> =>
    (
      await database.query<Omit<StoredRebuild, 'secondsLeft'>>(
        `select ${columns} from platform.rebuilds where ${condition}`,
        values,
      )
    ).map(withTimeLeft)

  return {
    /** Those of a run that somebody works on, or should. */
    running: (run: string) => read(`run = $1 and state = 'running' order by projection`, [run]),
    /** Runs in which there is something to do. */
    openRuns: async (): Promise<string[]> =>
      (
        await database.query<{ run: string }>(
          `select run from platform.rebuilds where state = 'running' group by run order by min(started_at)`,
        )
      ).map(({ run }) => run),
    /** The last one of each projection, or of one. */
    latest: (projection?: string) =>
      read(
        `($1::text is null or projection = $1) and (projection, started_at) in (
           select projection, max(started_at) from platform.rebuilds group by projection) order by started_at desc`,
        [projection ?? null],
      ),
    /** The highest number that a generation of it ever had; 0 when it was never rebuilt. */
    highest: async (projection: string): Promise<number> => {
      const [row] = await database.query<{ highest: number | null }>(
        'select max(generation) as highest from platform.rebuilds where projection = $1',
        [projection],
      )
      return row?.highest ?? 0
    },
    /** Of the last load that came to its end; undefined when there was none. */
    lastRate: async (projection: string): Promise<number | undefined> => {
      const [row] = await database.query<{ rate: number }>(
        `select events_per_second as rate from platform.rebuilds
         where projection = $1 and state = 'done' and events_per_second > 0 order by started_at desc limit 1`,
        [projection],
      )
      return row?.rate
    },
    /** @throws RebuildUnderWay; then nothing is written */
    begin: (rebuilds: readonly New[], { operator, reason }: Asked): Promise<void> =>
      database.transaction(async (transaction) => {
        for (const rebuild of rebuilds) {
          const { run, projection, generation, version, phase, sample, lanes, target, eventsTotal } = rebuild
          const begun = await transaction.query(
            `insert into platform.rebuilds
               (run, projection, generation, version, phase, sample, lanes, target, events_total, operator, reason)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (projection) where ${unended} do nothing returning 1`,
            [
              ...[run, projection, generation, version, phase, sample, lanes, target, eventsTotal],
              ...[operator, reason ?? null],
            ],
          )
          if (begun.length === 0) throw new RebuildUnderWay(projection)
          await transaction.query(
            `insert into platform.generations (projection, generation, version, state) values ($1, $2, $3, 'building')
             on conflict do nothing`,
            [projection, generation, version],
          )
        }
      }),
    /** Says how far it is. False when it is not to go on. */
    progress: async (
      { run, projection }: Pick<Rebuild, 'run' | 'projection'>,
      now: Partial<Pick<Rebuild, 'phase' | 'eventsDone' | 'position' | 'eventsPerSecond' | 'rowsVerified' | 'error'>>,
    ): Promise<boolean> => {
      const rows = await database.query(
        `update platform.rebuilds set phase = coalesce($3, phase), events_done = coalesce($4, events_done),
           events_total = greatest(events_total, $4), position = coalesce($5, position),
           events_per_second = coalesce($6, events_per_second), rows_verified = coalesce($8, rows_verified),
           error = $7, updated_at = now()
         where run = $1 and projection = $2 and state = 'running' returning 1`,
        [
          ...[run, projection, now.phase ?? null, now.eventsDone ?? null, now.position ?? null],
          ...[now.eventsPerSecond ?? null, now.error ?? null, now.rowsVerified ?? null],
        ],
      )
      return rows.length > 0
    },
    /** All is done that there was to load, also what somebody did who died before it was counted. */
    loaded: async ({ run, projection }: Pick<Rebuild, 'run' | 'projection'>): Promise<void> => {
      await database.query(
        `update platform.rebuilds set phase = 'indexing', events_done = events_total, error = null, updated_at = now()
         where run = $1 and projection = $2 and state = 'running'`,
        [run, projection],
      )
    },
    /** The log has grown while it was read: it is loaded up to there, too. */
    extend: async (
      { run, projection }: Pick<Rebuild, 'run' | 'projection'>,
      { target, eventsTotal }: Pick<StoredRebuild, 'target' | 'eventsTotal'>,
    ): Promise<void> => {
      await database.query(
        `update platform.rebuilds set target = $3, events_total = greatest(events_total, $4), updated_at = now()
         where run = $1 and projection = $2 and state = 'running'`,
        [run, projection, target, eventsTotal],
      )
    },
    fail: async ({ run, projection }: Pick<Rebuild, 'run' | 'projection'>, error: string): Promise<void> => {
      await database.query(
        `update platform.rebuilds set state = 'failed', error = $3, updated_at = now()
         where run = $1 and projection = $2 and state = 'running'`,
        [run, projection, error],
      )
    },
    /** @returns whether there was one in such a state */
    change: async (
      projection: string,
      from: readonly Rebuild['state'][],
      to: Rebuild['state'],
      generation?: number,
    ): Promise<boolean> => {
      const rows = await database.query(
        `update platform.rebuilds set state = $3, updated_at = now(), error = null,
           finished_at = case when $3 in ('done', 'dropped') then now() end
         where projection = $1 and state = any ($2::text[]) and ($4::integer is null or generation = $4)
           and run = (select run from platform.rebuilds where projection = $1 order by started_at desc limit 1)
         returning 1`,
        [projection, from, to, generation ?? null],
      )
      return rows.length > 0
    },
    /**
     * Writes down that a generation is live now, and the former one is kept. Harmless when repeated.
     *
     * @throws RebuildStopped when somebody has cancelled or dropped it meanwhile: the swap must not be
     */
    swapped: async (transaction: Queryable, rebuild: StoredRebuild): Promise<void> => {
      const { run, projection, generation, version } = rebuild
      const [now] = await transaction.query<{ state: string }>(
        'select state from platform.rebuilds where run = $1 and projection = $2 for update',
        [run, projection],
      )
      const isLive = (await liveGeneration(transaction, projection)) === generation
      if (now?.state === 'done' && isLive) return
      if (now?.state !== 'running') throw new RebuildStopped(`the rebuild of ${projection} is ${now?.state ?? 'gone'}`)
      await transaction.query(
        `insert into platform.generations (projection, generation, version, state, created_at, replaced_at)
         select name, generation, version, 'kept', built_at, now() from platform.projections
         where name = $1 and generation <> $2
         on conflict (projection, generation) do update set state = 'kept', replaced_at = now()`,
        [projection, generation],
      )
      await transaction.query(
        `with swapped as (
           delete from platform.generations where projection = $1 and generation = $3 returning created_at
         )
         insert into platform.projections (name, version, generation, built_at)
         values ($1, $2, $3, coalesce((select created_at from swapped), now()))
         on conflict (name) do update
           set version = excluded.version, generation = excluded.generation, built_at = excluded.built_at`,
        [projection, version, generation],
      )
      // What was live before may be ahead of a log that was put back, and stays so.
      await removePutBack(transaction, `${projection}@${generation}`)
      await transaction.query(
        `insert into platform.put_back (consumer, why, found_at, mending)
         select b.consumer || '@' || g.generation, b.why, b.found_at, b.mending
         from platform.put_back b, platform.generations g
         where b.consumer = $1 and g.projection = $1 and g.state = 'kept'
           and g.replaced_at = (select max(replaced_at) from platform.generations where projection = $1)
         on conflict do nothing`,
        [projection],
      )
      await removePutBack(transaction, projection)
      await transaction.query(
        `update platform.rebuilds set state = 'done', phase = 'done', error = null, updated_at = now(), finished_at = now()
         where run = $1 and projection = $2`,
        [run, projection],
      )
    },
    generations: (projection?: string): Promise<Generation[]> =>
      database.query<Generation>(
        `select name as projection, generation, version, 'live' as state, built_at as "createdAt",
           null as "replacedAt" from platform.projections where $1::text is null or name = $1
         union all
         select projection, generation, version, state, created_at, replaced_at from platform.generations
         where $1::text is null or projection = $1 order by 1, 2`,
        [projection ?? null],
      ),
    dropped: async (projection: string, generation: number): Promise<void> => {
      await database.query('delete from platform.generations where projection = $1 and generation = $2', [
        projection,
        generation,
      ])
      await removePutBack(database, `${projection}@${generation}`)
    },
    /** Those that were found ahead of a log that was put back, and why: live ones, and `order_details@2`. */
    putBack: async (): Promise<ReadonlyMap<string, string>> => {
      const rows = await database.query<{ consumer: string; why: string }>(
        'select consumer, why from platform.put_back',
      )
      return new Map(rows.map(({ consumer, why }) => [consumer, why]))
    },
    /** What it has built is gone; it begins again. */
    beginsAnew: async ({ run, projection, generation }: StoredRebuild, target: bigint): Promise<void> => {
      await database.query(
        `update platform.rebuilds set phase = 'loading', target = $3, position = 0, events_done = 0, rows_verified = null,
           lanes = greatest(lanes, 1), updated_at = now()
         where run = $1 and projection = $2`,
        [run, projection, target],
      )
      await removePutBack(database, `${projection}@${generation}`)
    },
  }
}

export type RebuildRecords = ReturnType<typeof createRebuildRecords>
