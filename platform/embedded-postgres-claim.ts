import pg from 'pg'

/** The right to use a data directory: held by a connection, so it ends with the process however that dies. */
export interface Claim {
  /** Resolves when the connection is gone, which is also the first sign that the server is. */
  readonly lost: Promise<void>
  query(text: string): Promise<pg.QueryResult>
  /** From now on the connection alone does not keep the process running. */
  unref(): void
}

const lockKey = '7310867925347693138'
const applicationName = /^orderlog process (\d+)$/

const holderQuery = `
  select activity.application_name as name
  from pg_locks as lock join pg_stat_activity as activity on activity.pid = lock.pid
  where lock.locktype = 'advisory' and lock.granted
    and (lock.classid::bigint << 32 | lock.objid::bigint) = ${lockKey}`

/**
 * Connects and takes the lock of the data directory, or says which process holds it.
 *
 * @param url of the database `postgres`, in which nobody else takes locks
 * @throws what `pg` throws when the server is not there or not ready
 */
export const claim = async (url: string): Promise<Claim | { readonly heldBy: number | undefined }> => {
  const client = new pg.Client({
    connectionString: url,
    application_name: `orderlog process ${process.pid}`,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  })
  const lost = new Promise<void>((resolve) => {
    client.on('error', () => resolve())
    client.on('end', () => resolve())
  })
  // Missing in the types of pg.
  const unref = () => (client as pg.Client & { unref(): void }).unref()
  try {
    await client.connect()
    const { rows } = await client.query(`select pg_try_advisory_lock(${lockKey}) as taken`)
    if (rows[0].taken === true) return { lost, query: (text) => client.query(text), unref }
    const holder = (await client.query(holderQuery)).rows[0]?.name
    await client.end()
    return { heldBy: Number(applicationName.exec(holder ?? '')?.[1]) || undefined }
  } catch (error) {
    client.end().catch(() => undefined)
    throw error
  }
}
