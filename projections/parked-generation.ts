import type { Database } from '../platform/database.ts'
import { consumerOfGeneration } from '../platform/read-model-generations.ts'
import { builtVersion } from './admission.ts'
import { drainStream } from './parked-drain.ts'
import type { Projection, ProjectionSink } from './projection.ts'

/** SQL: the parked event p was discarded by an operator. $2 is the projection. */
const discarded = `exists (select from platform.event_gaps g where g.projection = $2 and g.stream = p.stream
  and g.revision = p.revision and g.event_id = (p.event->>'id')::uuid)`

/** SQL: nothing of the stream of the parked event p is parked in the live generation. $2 is the projection. */
const liveHasNot = 'not exists (select from platform.parked_events l where l.projection = $2 and l.stream = p.stream)'

/**
 * Does to what a generation has parked what was done to the live one meanwhile: streams that operators have retried or
 * discarded events of are retried. Before anybody writes the generation, as it must learn afterwards what is parked.
 *
 * @param of.partitionOf where a stream lies in the generation's checkpoints
 * @throws EngineUnavailable
 */
export const drainParkedOfGeneration = async (of: {
  readonly database: Database
  readonly projection: string
  readonly generation: number
  readonly sink: ProjectionSink
  readonly partitionOf: (stream: string) => number
}): Promise<void> => {
  const { database, projection, generation, sink, partitionOf } = of
  const name = consumerOfGeneration(projection, generation)
  const streams = await database.query<{ stream: string }>(
    `select p.stream from platform.parked_events p where p.projection = $1 and (${liveHasNot} or ${discarded})
     group by p.stream order by min(p.position)`,
    [name, projection],
  )
  for (const { stream } of streams) await drainStream({ database, sink, name, stream, partition: partitionOf(stream) })
}

/** A new generation would show less than the live one does. */
export class ParkedBesidesLive extends Error {}

/**
 * Refuses a new generation that has parked what the live one, built by the same version, has applied. One that is kept is
 * swapped back with what it had parked; where the live one is stale, or has not come so far, it says nothing.
 *
 * @throws ParkedBesidesLive, EngineUnavailable
 */
export const refuseParkedBesidesLive = async (of: {
  readonly database: Database
  readonly projection: Projection
  readonly generation: number
  readonly logIdentity: string
  readonly partitionOf: (stream: string) => number
}): Promise<void> => {
  const { database, projection, generation, logIdentity, partitionOf } = of
  const { name, version, sink } = projection
  const parked = await database.query<{ stream: string; position: bigint; error: string | null }>(
    `select distinct on (p.stream) p.stream, p.position, p.error from platform.parked_events p
     where p.projection = $1 and ${liveHasNot}
       and exists (select from platform.generations where projection = $2 and generation = $3 and state = 'building')
       and not exists (select from platform.put_back where consumer = $2)
     order by p.stream, p.position`,
    [consumerOfGeneration(name, generation), name, generation],
  )
  if (parked.length === 0 || (await builtVersion(database, name)) !== version) return
  await sink.prepare(logIdentity)
  const besides: typeof parked = []
  for (const event of parked) {
    const live = await sink.checkpoint(partitionOf(event.stream))
    if (live.logIdentity === logIdentity && live.position >= event.position) besides.push(event)
  }
  const [first] = besides.sort((a, b) => (a.position < b.position ? -1 : 1))
  if (!first) return
  throw new ParkedBesidesLive(
    `generation ${generation} has parked events of ${besides.length} streams that the live one has applied, the first of ${first.stream} at position ${first.position}: ${first.error}; mend the handler and resume the rebuild, or drop the generation`,
  )
}
