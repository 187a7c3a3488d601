import type { estypes } from '@elastic/elasticsearch'
import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { EngineUnavailable } from './failures.ts'
import { backOffMs, pause } from './pause.ts'

/** One document of a bulk request. */
export interface BulkItem {
  readonly id: string
  /** External version. `external`: newer ones only; `external_gte`: also in the place of the same. Undefined: always. */
  readonly version?: { readonly of: bigint; readonly type: 'external' | 'external_gte' }
  readonly source: unknown
}

/** Engine says of this one document that it cannot be indexed, now or ever. */
export class DocumentRefused extends Error {
  constructor(id: string, type: string) {
    // Not the engine's reason: it quotes what it could not read, which may be a person's name.
    super(`Elasticsearch refuses the document ${id}: ${type}`)
  }
}

/** Bytes of a request, at which the next begins: large enough to be fast, small enough that a batch makes some. */
const chunkBytes = 500_000
/** Requests under way: one is written by the engine while the next is made. */
const concurrency = 2
/**
 * A batch of fewer documents is made visible to searches as it is written. Larger ones come when much is to be caught up
 * with; a refresh after each would cost a third of the speed, and they are refreshed when somebody waits for them.
 */
export const refreshBelow = 500
/** Tries of what the engine was too busy for. */
const mostTries = 6

interface Line {
  readonly id: string
  readonly lines: readonly [action: string, source: string]
}

const lineOf = ({ id, version, source }: BulkItem): Line => {
  if (version && version.of > BigInt(Number.MAX_SAFE_INTEGER))
    throw new RangeError(`position ${version.of} is beyond 2^53 and cannot be a version in Elasticsearch`)
  const meta = version ? { _id: id, version: Number(version.of), version_type: version.type } : { _id: id }
  return { id, lines: [JSON.stringify({ index: meta }), JSON.stringify(source)] }
}

function* chunksOf(items: Iterable<BulkItem>): Generator<Line[]> {
  let chunk: Line[] = []
  let bytes = 0
  for (const item of items) {
    const line = lineOf(item)
    const size = Buffer.byteLength(line.lines[0]) + Buffer.byteLength(line.lines[1])
    if (chunk.length > 0 && bytes + size > chunkBytes) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(line)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}

type Item = { readonly status: number; readonly error?: { readonly type: string } }

const send = async (
  engine: Elasticsearch,
  writes: string,
  lines: readonly Line[],
  refresh: boolean,
): Promise<Item[]> => {
  const params: estypes.BulkRequest & { filter_path: string } = {
    index: writes,
    require_alias: true,
    refresh,
    operations: lines.flatMap((line) => line.lines),
    filter_path: 'items.*.status,items.*.error.type',
  }
  const { items } = await engine.write((client, options) => client.bulk(params, options))
  return items.map((item) => Object.values(item)[0] as Item)
}

/** @returns ids of documents of which the engine has the same version or a newer one */
const sendAll = async (
  engine: Elasticsearch,
  writes: string,
  chunk: readonly Line[],
  refresh: boolean,
): Promise<string[]> => {
  const stale: string[] = []
  let left = chunk
  let refused: DocumentRefused | undefined
  for (let tries = 1; left.length > 0; tries += 1) {
    const results = await send(engine, writes, left, refresh)
    const again: Line[] = []
    left.forEach((line, at) => {
      const { status, error } = results[at] ?? { status: 500 }
      if (status < 300) return
      if (status === 409) stale.push(line.id)
      else if (error?.type === 'index_not_found_exception') throw new IndexMissing()
      else if (status === 429 || status >= 500) again.push(line)
      else refused ??= new DocumentRefused(line.id, error?.type ?? `status ${status}`)
    })
    if (again.length > 0 && tries === mostTries)
      throw new EngineUnavailable('Elasticsearch', new Error(`it is too busy for ${again.length} documents`))
    left = again
    if (left.length > 0) await pause(backOffMs(tries))
  }
  if (refused) throw refused
  return stale
}

/**
 * Writes documents, in requests of bounded size, made as they are sent. Each document stands for itself: one that is
 * refused or came too late keeps no other from being written.
 *
 * @param writes the alias to write through; it must exist
 * @param options.refresh makes them visible to searches before it returns
 * @param options.afterwards told the ids of each request when the engine has answered it, while others are under way
 * @returns ids of those that the engine has already, in the same version or a newer one
 * @throws DocumentRefused of the first that can never be written, EngineUnavailable when it stays too busy, IndexMissing
 */
export const writeDocuments = async (
  engine: Elasticsearch,
  writes: string,
  items: Iterable<BulkItem>,
  options: { readonly refresh: boolean; readonly afterwards?: (ids: readonly string[]) => Promise<unknown> },
): Promise<string[]> => {
  const chunks = chunksOf(items)
  const stale: string[] = []
  const failures: unknown[] = []
  const sender = async (): Promise<void> => {
    try {
      for (let next = chunks.next(); !next.done && failures.length === 0; next = chunks.next()) {
        stale.push(...(await sendAll(engine, writes, next.value, options.refresh)))
        await options.afterwards?.(next.value.map(({ id }) => id))
      }
    } catch (error) {
      failures.push(error)
    }
  }
  // Both have ended when it returns or throws: nothing is written behind the caller's back.
  await Promise.all(Array.from({ length: concurrency }, sender))
  if (failures.length > 0) throw failures[0]
  return stale
}
