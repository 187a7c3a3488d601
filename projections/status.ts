import type { Queryable } from '../platform/database.ts'
import { unsealedOnly } from '../platform/partitioning.ts'

/** What the database knows of a projection, for processes that do not run it. */
export interface StoredStatus {
  readonly name: string
  /** Version of the code that built it. */
  readonly version: number
  readonly generation: number
  /** The checkpoint that is furthest behind. */
  readonly position: bigint
  /** When the checkpoint last moved, ISO 8601; null before the first batch. */
  readonly updatedAt: string | null
  readonly parkedEvents: number
  readonly parkedStreams: number
}

/** Every projection that was ever built, by name. */
export const storedStatuses = (database: Queryable): Promise<StoredStatus[]> =>
  database.query<StoredStatus>(
    `select p.name, p.version, p.generation, coalesce(c.position, 0) as position, c.updated_at as "updatedAt",
       coalesce(e.events, 0) as "parkedEvents", coalesce(e.streams, 0) as "parkedStreams"
     from platform.projections p
     left join (
       select consumer, min(position) as position, max(updated_at) as updated_at
       from platform.checkpoints where ${unsealedOnly} group by consumer
     ) c on c.consumer = p.name
     left join (
       select projection, count(*)::integer as events, count(distinct stream)::integer as streams
       from platform.parked_events group by projection
     ) e on e.projection = p.name
     order by p.name`,
  )
