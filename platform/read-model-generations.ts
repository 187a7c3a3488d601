import type { StoreGenerations, Swap } from './checkpointed-store.ts'
import type { Database, Queryable } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import { unsealedOnly } from './partitioning.ts'

/** The schema of a generation that is not live; the live one has the projection's own name. */
export const schemaOfGeneration = (name: string, generation: number): string => `${name}_g${generation}`

/** The consumer under which checkpoints and parked events of a generation are kept that is not live. */
export const consumerOfGeneration = (name: string, generation: number): string => `${name}@${generation}`

/** No rebuild has this number: what is built to see how long it takes, and dropped again. */
export const scratchGeneration = 0

/** SQL: leaves out checkpoints of generations that are not live. They are read up from the store, if at all. */
export const liveOnly = "strpos(consumer, '@') = 0"

/** Waits for the writer of the live generation, and for the last events. */
const patient = { statementTimeoutMs: 60_000 }

/** A partition without a checkpoint gets one, so that there is something to lock. */
const fillIn = `insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
  select $1, partition, 0, $4::uuid, $3::integer from unnest($2::integer[]) as partition
  on conflict do nothing`

/** @returns whether it was there */
const rename = async (transaction: Queryable, from: string, to: string): Promise<boolean> => {
  const there = await transaction.query('select 1 from pg_namespace where nspname = $1', [from])
  if (there.length > 0) await transaction.query(`alter schema ${from} rename to ${to}`)
  return there.length > 0
}

/** Checkpoints of the former live generation go with it; a sealed one stays a seal on the live one, too. */
const moveCheckpoints = async (
  transaction: Queryable,
  name: string,
  { from, to, partitions, logIdentity }: Swap,
  position: bigint | undefined,
): Promise<void> => {
  const former = consumerOfGeneration(name, from)
  const next = consumerOfGeneration(name, to)
  await transaction.query('delete from platform.checkpoints where consumer = $1', [former])
  await transaction.query('update platform.checkpoints set consumer = $2 where consumer = $1', [name, former])
  if (position === undefined) {
    await transaction.query('update platform.checkpoints set consumer = $2, generation = $3 where consumer = $1', [
      next,
      name,
      to,
    ])
    return
  }
  await transaction.query('delete from platform.checkpoints where consumer = $1', [next])
  await transaction.query(
    `insert into platform.checkpoints (consumer, partition, position, log_identity, generation)
     select $1::text, partition, $3::bigint, $4::uuid, $5::integer from unnest($2::integer[]) as partition
     union all
     select $1, partition, position, $4::uuid, $5::integer from platform.checkpoints
     where consumer = $6 and not ${unsealedOnly} and partition <> all ($2::integer[])`,
    [name, partitions, position, logIdentity, to, former],
  )
}

/**
 * Sees to it that a generation is no further than where it is to be swapped in, and stays there: another process that has
 * taken the rebuild over may have taken it further, and what came in between would be applied again.
 */
const keepAt = async (transaction: Queryable, consumer: string, position: bigint): Promise<void> => {
  const rows = await transaction.query<{ position: bigint }>(
    `select position from platform.checkpoints where consumer = $1 and ${unsealedOnly} for update`,
    [consumer],
  )
  if (rows.some((row) => row.position > position))
    throw new EngineUnavailable('PostgreSQL', new Error(`another process has taken ${consumer} beyond ${position}`))
}

/** Parked events of the generation `from`, which was live until now, go with it, and those of `to` become the live ones. */
export const moveParked = async (transaction: Queryable, name: string, from: number, to: number): Promise<void> => {
  const move = async (source: string, target: string): Promise<void> => {
    await transaction.query('delete from platform.parked_events where projection = $1', [target])
    await transaction.query('update platform.parked_events set projection = $2 where projection = $1', [source, target])
  }
  await move(name, consumerOfGeneration(name, from))
  await move(consumerOfGeneration(name, to), name)
}

/** Which generation PostgreSQL says is live; the first one where it says nothing yet. */
export const liveGeneration = async (database: Queryable, name: string): Promise<number> => {
  const [row] = await database.query<{ generation: number }>(
    'select generation from platform.projections where name = $1',
    [name],
  )
  return row?.generation ?? 1
}

/**
 * Generations of a read model in PostgreSQL: schemas that are renamed (decision 3), atomic with the checkpoints and the
 * parked events that belong to them.
 *
 * @param name of the projection: its consumer and the schema of its live generation
 */
export const createReadModelGenerations = <Generation>(
  database: Database,
  name: string,
  at: (generation: number) => Generation,
): Omit<StoreGenerations<unknown>, 'at'> & { at(generation: number): Generation } => ({
  at,
  highest: async () => {
    const [row] = await database.query<{ highest: number }>(
      `select greatest(
         (select max(substring(nspname from length($1) + 3)::integer) from pg_namespace
          where nspname ~ ('^' || $1 || '_g[0-9]+$')),
         (select generation from platform.projections where name = $1),
         (select 1 from pg_namespace where nspname = $1), 0) as highest`,
      [name],
    )
    return row?.highest ?? 0
  },
  swap: (change) =>
    database.transaction(async (transaction) => {
      const { from, to, partitions, logIdentity, reach, record } = change
      if ((await liveGeneration(transaction, name)) === to) return record(transaction)
      // From here on whoever writes the live generation waits, and is fenced afterwards.
      await transaction.query(fillIn, [name, partitions, from, logIdentity])
      await transaction.query('select 1 from platform.checkpoints where consumer = $1 for update', [name])
      const position = await reach?.()
      if (position !== undefined) await keepAt(transaction, consumerOfGeneration(name, to), position)
      await rename(transaction, name, schemaOfGeneration(name, from))
      // One that was dropped must not leave readers with nothing at all.
      if (!(await rename(transaction, schemaOfGeneration(name, to), name)))
        throw new Error(`generation ${to} of ${name} is gone`)
      await moveCheckpoints(transaction, name, change, position)
      await moveParked(transaction, name, from, to)
      await record(transaction)
    }, patient),
  drop: (generation) =>
    database.transaction(async (transaction) => {
      const consumer = consumerOfGeneration(name, generation)
      const forget = async () => {
        await transaction.query('delete from platform.checkpoints where consumer = $1', [consumer])
        await transaction.query('delete from platform.parked_events where projection = $1', [consumer])
      }
      await forget()
      await transaction.query(`drop schema if exists ${schemaOfGeneration(name, generation)} cascade`)
      // The drop has waited for a writer whose checkpoint was not committed yet, and so not seen above.
      await forget()
    }, patient),
})
