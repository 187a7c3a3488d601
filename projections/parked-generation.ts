import type { Database, Queryable } from '../platform/database.ts'
import { consumerOfGeneration } from '../platform/read-model-generations.ts'
import { builtVersion } from './admission.ts'
import { noteHonoured } from './decisions.ts'
import { drainStream } from './parked-drain.ts'
import type { Projection, ProjectionSink } from './projection.ts'

/** SQL: the parked event p was discarded by an operator. $2 is the projection. */
const discarded = `exists (select from platform.event_gaps g where g.projection = $2 and g.stream = p.stream
  and g.revision = p.revision and g.event_id = (p.event->>'id')::uuid)`

/** SQL: the parked event p is not parked in the live generation. $2 is the projection. */
const liveHasNot = `not exists (select from platform.parked_events l
  where l.projection = $2 and l.stream = p.stream and l.revision = p.revision)`

interface Besides {
  readonly stream: string
  readonly revision: bigint
}

/** What a generation has parked and the live one has not: retried or discarded there, or not come so far. In log order. */
const besidesLive = (database: Queryable, projection: string, generation: number): Promise<Besides[]> =>
  database.query<Besides>(
    `select p.stream, p.revision from platform.parked_events p
     where p.projection = $1 and (${liveHasNot} or ${discarded}) order by p.position`,
    [consumerOfGeneration(projection, generation), projection],
  )

/** Takes out what was discarded and still waits behind an event that fails. */
const passDiscarded = async (
  { database, projection, generation, sink, partitionOf }: ParkedGeneration,
  stream: string,
): Promise<void> => {
  const name = consumerOfGeneration(projection, generation)
  const gaps = await database.query<{ revision: bigint; position: bigint; id: string }>(
    `select p.revision, p.position, p.event->>'id' as id from platform.parked_events p
     where p.projection = $1 and p.stream = $3 and ${discarded}`,
    [name, projection, stream],
  )
  if (gaps.length === 0) return
  await sink.applyLate({
    partition: partitionOf(stream),
    events: [],
    discarded: gaps.map(({ position }) => position),
    record: async (transaction) => {
      await transaction.query(
        'delete from platform.parked_events where projection = $1 and stream = $2 and revision = any ($3::bigint[])',
        [name, stream, gaps.map(({ revision }) => revision)],
      )
      await noteHonoured(
        transaction,
        name,
        gaps.map(({ revision, id }) => ({ stream, revision, id })),
      )
    },
  })
}

interface ParkedGeneration {
  readonly database: Database
  readonly projection: string
  readonly generation: number
  readonly sink: ProjectionSink
  /** Where a stream lies in the generation's checkpoints. */
  readonly partitionOf: (stream: string) => number
}

/** What `drainParkedOfGeneration` has dealt with; opaque. */
export type Drained = ReadonlySet<string>

const keyOf = ({ stream, revision }: Besides): string => `${revision} ${stream}`

/**
 * Does to what a generation has parked what was done to the live one meanwhile: what operators have retried there is
 * retried, and what they have discarded is passed. Before anybody writes the generation, as it must learn afterwards what
 * is parked.
 *
 * @throws EngineUnavailable
 */
export const drainParkedOfGeneration = async (of: ParkedGeneration): Promise<Drained> => {
  const { database, projection, generation, sink, partitionOf } = of
  const name = consumerOfGeneration(projection, generation)
  const besides = await besidesLive(database, projection, generation)
  for (const stream of new Set(besides.map((event) => event.stream))) {
    await drainStream({ database, sink, name, stream, partition: partitionOf(stream) })
    await passDiscarded(of, stream)
  }
  return new Set(besides.map(keyOf))
}

/**
 * Whether operators have retried or discarded something of the live generation since the other one was drained. To be asked
 * once nobody can do that any more: what is swapped in would take back what they were told is done.
 */
export const isDecidedSince = async (
  { database, projection, generation }: Pick<ParkedGeneration, 'database' | 'projection' | 'generation'>,
  drained: Drained,
): Promise<boolean> => (await besidesLive(database, projection, generation)).some((event) => !drained.has(keyOf(event)))

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
     where p.projection = $1 and ${liveHasNot} and not ${discarded}
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
