import type { estypes } from '@elastic/elasticsearch'
import type { StoredCheckpoint } from './checkpointed-store.ts'
import { writeDocuments } from './elasticsearch-bulk.ts'
import { type Elasticsearch, IndexMissing, RequestRefused } from './elasticsearch-client.ts'
import { readDocuments } from './elasticsearch-reads.ts'
import { isSealed } from './partitioning.ts'

/**
 * Checkpoints are documents of the index whose documents they speak of, so that they are lost together. No SKU and no
 * order id has a colon in it.
 */
const idOf = (consumer: string, partition: number): string => `checkpoint:${consumer}:${partition}`

export const checkpointMapping: Record<string, estypes.MappingProperty> = {
  checkpoint: { type: 'object', enabled: false },
}

interface Stored {
  /** Decimal: a position may be larger than what JSON numbers hold. */
  readonly position: string
  readonly logIdentity: string
  /** ISO 8601. */
  readonly updatedAt: string
  /** Whether all documents up to the position are known to be visible to searches. */
  readonly searchable: boolean
}

/** A checkpoint as it stands, in the very index that it was found in. */
export interface Place extends StoredCheckpoint {
  /** The generation. */
  readonly index: string
  readonly updatedAt: string
  readonly searchable: boolean
  /** What a compare-and-set expects; undefined when there is none yet. */
  readonly seen: { readonly if_seq_no: number; readonly if_primary_term: number } | undefined
}

/** A consumer's checkpoint, as it is now; undefined when the index does not exist. */
export const readPlace = async (
  engine: Elasticsearch,
  index: string,
  consumer: string,
  partition: number,
): Promise<Place | undefined> => {
  const id = idOf(consumer, partition)
  try {
    const found = await engine.query((client, options) =>
      client.get<{ checkpoint: Stored }>({ index, id }, { ...options, ignore: [404] }),
    )
    // A missing index comes as an answer, too.
    if (found.found === undefined) return undefined
    const stored = found._source?.checkpoint
    if (!stored || found._seq_no === undefined || found._primary_term === undefined)
      return { index: found._index, position: 0n, logIdentity: '', updatedAt: '', searchable: true, seen: undefined }
    return {
      ...stored,
      index: found._index,
      position: BigInt(stored.position),
      seen: { if_seq_no: found._seq_no, if_primary_term: found._primary_term },
    }
  } catch (error) {
    if (error instanceof IndexMissing) return undefined
    throw error
  }
}

/** Moves a checkpoint; false when it is not as it was seen any more, or gone with its index. */
export const movePlace = async (
  engine: Elasticsearch,
  writes: string,
  move: {
    readonly consumer: string
    readonly partition: number
    readonly seen: Place['seen']
    readonly to: bigint
    readonly logIdentity: string
    readonly searchable: boolean
  },
): Promise<boolean> => {
  const { consumer, partition, seen, to, logIdentity, searchable } = move
  const checkpoint: Stored = { position: `${to}`, logIdentity, updatedAt: new Date().toISOString(), searchable }
  const id = idOf(consumer, partition)
  const expected = seen ?? { op_type: 'create' as const }
  try {
    await engine.write((client, options) =>
      client.index({ index: writes, id, require_alias: true, document: { checkpoint }, ...expected }, options),
    )
    return true
  } catch (error) {
    if (error instanceof IndexMissing || (error instanceof RequestRefused && error.status === 409)) return false
    throw error
  }
}

/** Partitions are looked for in runs of so many; there are no gaps as long as a run. */
const run = 64

/** All checkpoints of a consumer; none when the index does not exist. */
export const readPlaces = async (
  engine: Elasticsearch,
  index: string,
  consumer: string,
): Promise<readonly (Stored & { readonly partition: number })[]> => {
  const places: (Stored & { partition: number })[] = []
  for (let first = 0; ; first += run) {
    const partitions = new Map(Array.from({ length: run }, (_, at) => [idOf(consumer, first + at), first + at]))
    const found = await readDocuments<{ checkpoint: Stored }>(
      engine,
      index,
      [...partitions.keys()],
      ['checkpoint'],
    ).catch((error: unknown) => {
      if (error instanceof IndexMissing) return []
      throw error
    })
    for (const { _id, _source } of found)
      if (_source) places.push({ ..._source.checkpoint, partition: partitions.get(_id) ?? 0 })
    if (found.length === 0) return places
  }
}

/**
 * Gives an index the checkpoints of a live one in the place of those that it was built with. Nobody else writes it now.
 *
 * @param placing.former the index that was live, whose seals stay seals
 */
export const placeCheckpoints = async (
  engine: Elasticsearch,
  writes: string,
  placing: {
    readonly consumer: string
    readonly partitions: readonly number[]
    readonly position: bigint
    readonly logIdentity: string
    readonly former: string | undefined
  },
): Promise<void> => {
  const { consumer, partitions, position, logIdentity, former } = placing
  const seals = former === undefined ? [] : await readPlaces(engine, former, consumer)
  const positions = new Map(
    seals.flatMap((place) => (isSealed(BigInt(place.position)) ? [[place.partition, place.position] as const] : [])),
  )
  for (const partition of partitions) positions.set(partition, `${position}`)
  for (const { partition } of await readPlaces(engine, writes, consumer))
    if (!positions.has(partition))
      await engine.write((client, options) => client.delete({ index: writes, id: idOf(consumer, partition) }, options))
  const updatedAt = new Date().toISOString()
  const items = [...positions].map(([partition, at]) => {
    const checkpoint: Stored = { position: at, logIdentity, updatedAt, searchable: true }
    return { id: idOf(consumer, partition), source: { checkpoint } }
  })
  await writeDocuments(engine, writes, items, { refresh: false })
}
