import type { Queryable } from '../../platform/database.ts'
import { unsealedOnly } from '../../platform/partitioning.ts'

/** A consumer's checkpoints in PostgreSQL, as who waits for a consistency token reads them. */
export const storedCheckpoints = (database: Queryable, consumer: string) =>
  database.query<{ partition: number; position: bigint }>(
    `select partition, position from platform.checkpoints where consumer = $1 and ${unsealedOnly} order by partition`,
    [consumer],
  )
