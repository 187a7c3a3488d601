import type { CheckpointReader } from '../platform/checkpointed-store.ts'
import type { Statement } from '../platform/database.ts'
import { EngineUnavailable } from '../platform/failures.ts'
import type { HttpServer } from '../platform/http-server.ts'
import { unsealedOnly } from '../platform/partitioning.ts'
import { consumerOfGeneration, liveOnly } from '../platform/read-model-generations.ts'
import type { Rebuild, RebuildService } from '../projections/rebuild.ts'
import { CommandRejected } from '../schemas/errors.ts'
import { ConsumerParams } from '../schemas/queries.ts'
import type { ProjectionSummary, ProjectionView } from '../schemas/views.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { headOf } from './head.ts'
import { toGenerationView, toRebuildProgress, toRebuildView } from './rebuild-view.ts'
import { addReadRoute } from './route.ts'

interface Row {
  readonly name: string
  readonly version: number | null
  readonly generation: number | null
  readonly partitions: readonly { partition: number; position: string; updatedAt: string }[]
  readonly parked: number
  readonly gaps: number
  readonly error?: string
}

const statement: Statement = {
  name: 'projections',
  text: `select coalesce(p.name, c.consumer) as name, p.version, p.generation,
      coalesce(c.partitions, '[]') as partitions, coalesce(e.parked, 0)::int as parked,
      coalesce(g.gaps, 0)::int as gaps
    from platform.projections p
    full join (
      select consumer, json_agg(json_build_object(
        'partition', partition, 'position', position::text,
        'updatedAt', to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by partition) as partitions
      from platform.checkpoints own where ${unsealedOnly} and ${liveOnly} and (partition > 0 or not exists (
        select from platform.checkpoints other where other.consumer = own.consumer and other.partition > 0))
      group by consumer) c on c.consumer = p.name
    left join (select projection, count(*) as parked from platform.parked_events group by projection) e
      on e.projection = coalesce(p.name, c.consumer)
    left join (select projection, count(*) as gaps from platform.event_gaps group by projection) g
      on g.projection = coalesce(p.name, c.consumer)
    where $1::text is null or coalesce(p.name, c.consumer) = $1
    order by 1`,
}

const parkedStatement: Statement = {
  name: 'parked_by_generation',
  text: `select projection as consumer, count(*)::int as parked from platform.parked_events
    where split_part(projection, '@', 1) = $1 group by projection`,
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

/** Stale read models, and why. Which ones are is not known while an engine that keeps one does not answer. */
const staleOf = async (rebuilds: RebuildService): Promise<ReadonlyMap<string, string>> => {
  try {
    return new Map((await rebuilds.stale()).map(({ projection, why }) => [projection, why]))
  } catch (error) {
    if (error instanceof EngineUnavailable) return new Map()
    throw error
  }
}

/** What a projector of this process says of itself; another process says it of its own on `/health/ready`. */
interface Here {
  readonly state: string
  readonly error?: string
}

const endedStates: readonly Rebuild['state'][] = ['done', 'dropped']

const summaryOf = (
  row: Row,
  head: bigint | null,
  rebuild: Rebuild | undefined,
  stale: string | undefined,
  here: Here | undefined,
) => ({
  name: row.name,
  version: row.version,
  generation: row.generation,
  parkedEventCount: row.parked,
  gapCount: row.gaps,
  state: here?.state ?? null,
  partitions: row.partitions.map((partition) => ({
    ...partition,
    lagEvents: head === null ? null : String(head - BigInt(partition.position)),
  })),
  ...(here?.error === undefined ? {} : { error: here.error }),
  ...(row.error === undefined ? {} : { error: row.error }),
  rebuild: rebuild && !endedStates.includes(rebuild.state) ? toRebuildProgress(rebuild) : null,
  stale: stale ?? null,
})

/**
 * `GET /v1/projections`: where each consumer of the log stands, in events behind the head, what it has parked, and what
 * is being rebuilt. `GET /v1/projections/:name`: the same of one, with its generations and its last rebuild.
 */
export const registerProjections = (server: HttpServer, deps: ReadApiDependencies): void => {
  const readRows = async (name: string | null): Promise<readonly Row[]> =>
    Promise.all(
      (await deps.database.execute<Row>(statement, [name])).map(async (row) => {
        const reader = deps.checkpointsElsewhere?.[row.name]
        return { ...row, ...(reader && (await checkpointsOf(row.name, reader))) }
      }),
    )

  addReadRoute(server, deps, '/v1/projections', {
    projections: [],
    answer: async (): Promise<{ head: string | null; projections: ProjectionSummary[] }> => {
      // The rows first: a head that is read later can only be farther, so that no lag comes out negative.
      const [rows, rebuilds, stale] = await Promise.all([
        readRows(null),
        deps.rebuilds.rebuilds(),
        staleOf(deps.rebuilds),
      ])
      const head = await headOf(deps.store)
      const here = new Map(deps.projectors?.().map((projector) => [projector.name, projector]))
      return {
        head: head === null ? null : String(head),
        projections: rows.map((row) =>
          summaryOf(
            row,
            head,
            rebuilds.find(({ projection }) => projection === row.name),
            stale.get(row.name),
            here.get(row.name),
          ),
        ),
      }
    },
  })

  addReadRoute(server, deps, '/v1/projections/:name', {
    params: ConsumerParams,
    projections: [],
    answer: async ({ params: { name } }): Promise<ProjectionView> => {
      const known = deps.knownProjections.find((each) => each.name === name)
      const [[row], [rebuild], generations, parked, stale] = await Promise.all([
        readRows(name),
        deps.rebuilds.rebuilds(name),
        deps.rebuilds.generations(name),
        deps.database.execute<{ consumer: string; parked: number }>(parkedStatement, [name]),
        staleOf(deps.rebuilds),
      ])
      if (!row && !known) throw new CommandRejected('projection-not-found', { projection: name })
      const head = await headOf(deps.store)
      const parkedOf = (consumer: string) => parked.find((each) => each.consumer === consumer)?.parked ?? 0
      const here = deps.projectors?.().find((each) => each.name === name)
      const never: Row = { name, version: null, generation: null, partitions: [], parked: 0, gaps: 0 }
      return {
        head: head === null ? null : String(head),
        ...summaryOf(row ?? never, head, undefined, stale.get(name), here),
        codeVersion: known?.version ?? null,
        generations: generations.map((each) =>
          toGenerationView(each, parkedOf(each.state === 'live' ? name : consumerOfGeneration(name, each.generation))),
        ),
        rebuild: rebuild ? toRebuildView(rebuild, head) : null,
      }
    },
  })
}
