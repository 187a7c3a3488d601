import type { CheckpointReader } from '../platform/checkpointed-store.ts'
import type { Statement } from '../platform/database.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { unsealedOnly } from '../platform/partitioning.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly name: string
  readonly version: number | null
  readonly generation: number | null
  readonly partitions: readonly { partition: number; position: string; updatedAt: string }[]
  readonly parked: number
  readonly error?: string
}

const statement: Statement = {
  name: 'projections',
  text: `select coalesce(p.name, c.consumer) as name, p.version, p.generation,
      coalesce(c.partitions, '[]') as partitions, coalesce(e.parked, 0)::int as parked
    from platform.projections p
    full join (
      select consumer, json_agg(json_build_object(
        'partition', partition, 'position', position::text,
        'updatedAt', to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by partition) as partitions
      from platform.checkpoints own where ${unsealedOnly} and (partition > 0 or not exists (
        select from platform.checkpoints other where other.consumer = own.consumer and other.partition > 0))
      group by consumer) c on c.consumer = p.name
    left join (select projection, count(*) as parked from platform.parked_events group by projection) e
      on e.projection = coalesce(p.name, c.consumer)
    order by 1`,
}

/** How far the projection is, is not known while the engine that keeps its checkpoints does not answer. */
const checkpointsOf = async (
  name: string,
  reader: CheckpointReader,
): Promise<{ partitions: Row['partitions']; error?: string }> => {
  try {
    const checkpoints = await reader.checkpoints(name)
    return { partitions: checkpoints.map((checkpoint) => ({ ...checkpoint, position: String(checkpoint.position) })) }
  } catch (error) {
    if (error instanceof EngineUnavailable) return { partitions: [], error: `${error.engine} does not answer` }
    throw error
  }
}

/** Where the log ends; null while the event store does not answer: how far behind anyone is, is then not known. */
const headOf = async (store: ReadApiDependencies['store']): Promise<bigint | null> => {
  try {
    return await store.head()
  } catch (error) {
    if (error instanceof EngineUnavailable) return null
    throw error
  }
}

/** `GET /v1/projections`: where each consumer of the log stands, in events behind the head, and what it has parked. */
export const registerProjections = (server: HttpServer, deps: ReadApiDependencies): void => {
  addReadRoute(server, deps, '/v1/projections', {
    projections: [],
    answer: async () => {
      // The rows first: a head that is read later can only be farther, so that no lag comes out negative.
      const stored = await deps.database.execute<Row>(statement)
      const rows = await Promise.all(
        stored.map(async (row) => {
          const reader = deps.checkpointsElsewhere?.[row.name]
          return { ...row, ...(reader && (await checkpointsOf(row.name, reader))) }
        }),
      )
      const head = await headOf(deps.store)
      return {
        head: head === null ? null : String(head),
        projections: rows.map((row) => ({
          name: row.name,
          version: row.version,
          generation: row.generation,
          parkedEventCount: row.parked,
          partitions: row.partitions.map((partition) => ({
            ...partition,
            lagEvents: head === null ? null : String(head - BigInt(partition.position)),
          })),
          ...(row.error === undefined ? {} : { error: row.error }),
        })),
      }
    },
  })
}
