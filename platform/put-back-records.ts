import type { Database, Queryable } from './database.ts'

/** A consumer that stands where the log does not reach any more, or where it holds other events than it did. */
export interface PutBack {
  readonly consumer: string
  readonly why: string
}

/** The relay and its topic, among consumers that were found ahead. */
export const kafkaConsumer = 'kafka'

/**
 * Forgets what speaks of events that may be gone. A reply to a repeated request is made anew, under its first command
 * id, by which the log recognises what it still holds.
 */
const forgetShortCuts = async (transaction: Queryable): Promise<void> => {
  await transaction.query(
    `update platform.idempotency_keys set reply = null, renewed_at = 'epoch' where reply is not null`,
  )
  await transaction.query('delete from platform.snapshots')
}

/** By consumer; opaque. */
export type Lives = ReadonlyMap<string, string>

const readLives = async (database: Queryable): Promise<Lives> => {
  const rows = await database.query<{ consumer: string; life: string }>(
    `select consumer, string_agg(generation::text, ' ' order by place, generation) as life from (
       select name as consumer, -1 as place, generation from platform.projections
       union all select consumer, partition, generation from platform.checkpoints
     ) generations group by consumer`,
  )
  return new Map(rows.map(({ consumer, life }) => [consumer, life]))
}

/** Until the transaction ends nobody begins another life. In the order in which a swap takes the same rows. */
const keepLives = async (transaction: Queryable, found: readonly PutBack[]): Promise<Lives> => {
  const consumers = found.map(({ consumer }) => consumer)
  const lock = (text: string) => transaction.query(`${text} for share`, [consumers])
  await lock('select 1 from platform.checkpoints where consumer = any ($1::text[]) order by consumer, partition')
  await lock('select 1 from platform.projections where name = any ($1::text[]) order by name')
  return readLives(transaction)
}

/** How it was looked where consumers stand. */
export interface Looked {
  /** From before: a consumer that has begun another meanwhile is left out, for it was mended. */
  readonly lives: Lives
  /** The log has lost events since somebody last looked, whoever is ahead of it. */
  readonly lost: boolean
}

/** Who was found ahead of a log that was put back: platform.put_back. It stays true however far the log grows. */
export const createPutBackRecords = (database: Database) => ({
  /** Of these consumers, or of all. */
  all: (): Promise<PutBack[]> => database.query<PutBack>('select consumer, why from platform.put_back order by 1'),
  of: async (consumer: string): Promise<string | undefined> => {
    const [row] = await database.query<PutBack>('select consumer, why from platform.put_back where consumer = $1', [
      consumer,
    ])
    return row?.why
  },
  /** Which life of its own each consumer is in: another one begins when generations are swapped or it is reset. */
  lives: (): Promise<Lives> => readLives(database),
  /**
   * Writes them down, the first reason for good; returns those that were not known.
   *
   * @param looked how it was looked where they stand
   */
  add: (found: readonly PutBack[], looked?: Looked): Promise<readonly string[]> =>
    database.transaction(async (transaction) => {
      const now = looked && (await keepLives(transaction, found))
      const still = found.filter(({ consumer }) => now?.get(consumer) === looked?.lives.get(consumer))
      const added = await transaction.query<{ consumer: string }>(
        `insert into platform.put_back (consumer, why) select * from unnest($1::text[], $2::text[])
         on conflict do nothing returning consumer`,
        [still.map(({ consumer }) => consumer), still.map(({ why }) => why)],
      )
      if (added.length > 0 || looked?.lost) await forgetShortCuts(transaction)
      return added.map(({ consumer }) => consumer)
    }),
  remove: (consumer: string): Promise<unknown> => removePutBack(database, consumer),
  /** An operator wants it mended. */
  mend: (consumer: string): Promise<unknown> =>
    database.query('update platform.put_back set mending = true where consumer = $1', [consumer]),
  mending: async (consumer: string): Promise<boolean> => {
    const rows = await database.query('select from platform.put_back where consumer = $1 and mending', [consumer])
    return rows.length > 0
  },
})

export type PutBackRecords = ReturnType<typeof createPutBackRecords>

/** What it derived is gone, or was made anew. */
export const removePutBack = async (transaction: Queryable, consumer: string): Promise<void> => {
  await transaction.query('delete from platform.put_back where consumer = $1', [consumer])
}
