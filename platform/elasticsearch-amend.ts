import type { Database } from './database.ts'
import { type BulkItem, writeDocuments } from './elasticsearch-bulk.ts'
import type { Elasticsearch } from './elasticsearch-client.ts'
import { writesOf } from './elasticsearch-generations.ts'
import { readDocuments } from './elasticsearch-reads.ts'
import { standingOf } from './elasticsearch-scan.ts'
import { EngineUnavailable, ReadModelAbsent } from './failures.ts'
import { pause } from './pause.ts'
import type { Versioned } from './search-index.ts'
import type { Standing } from './standing.ts'

/** Tries of what a deletion that is just over still keeps from being written. */
const mostTries = 40

/**
 * Puts documents right. Each is written as of its version or a newer one, so that what a writer puts there meanwhile
 * stays.
 *
 * @param deps.afterwards told what was written
 */
export const createElasticsearchAmend = <Document>(deps: {
  readonly engine: Elasticsearch
  readonly database: Database
  /** The alias or index to read from. */
  readonly target: () => Promise<string>
  /** Under which name a consumer's events are parked. */
  readonly parkedUnder: (consumer: string) => string
  readonly idOf: (document: Document) => string
  readonly indexed: (document: Document) => unknown
  readonly afterwards?: (writes: string, ids: readonly string[]) => Promise<unknown>
}) => {
  const { engine, database, target, parkedUnder, idOf, indexed } = deps

  /** Behind the alias. */
  const indexOf = async (name: string): Promise<string> => {
    const found = await engine.write((client, options) =>
      client.indices.get({ index: name, features: 'aliases' }, options),
    )
    const [index] = Object.keys(found)
    if (index === undefined) throw new ReadModelAbsent(`${name} has not been built yet`)
    return index
  }

  const existing = async (index: string, ids: readonly string[]): Promise<ReadonlySet<string>> =>
    new Set((await readDocuments(engine, index, ids, ['document'])).map(({ _id }) => _id))

  /**
   * The engine remembers for a minute, with its version, what was deleted, and refuses whatever is not newer. It is asked
   * to forget at once, as long as it takes.
   */
  const rewrite = async (index: string, items: readonly BulkItem[]): Promise<void> => {
    const keep = (gc_deletes: string) =>
      engine.write((client, options) => client.indices.putSettings({ index, settings: { gc_deletes } }, options))
    await keep('0s')
    try {
      let left = items
      for (let tries = 0; left.length > 0; tries += 1) {
        if (tries === mostTries)
          throw new EngineUnavailable('Elasticsearch', new Error(`it still refuses ${left.length} deleted documents`))
        await pause(tries * 50)
        await engine.write((client, options) => client.indices.refresh({ index }, options))
        const stale = new Set(await writeDocuments(engine, writesOf(index), left, { refresh: true }))
        const there = await existing(index, [...stale])
        left = left.filter(({ id }) => stale.has(id) && !there.has(id))
      }
    } finally {
      await keep('60s')
    }
  }

  return async (
    consumer: string,
    ids: readonly string[],
    documents: (standing: Standing) => Promise<readonly Versioned<Document>[]>,
  ): Promise<void> => {
    const index = await indexOf(await target())
    const found = await documents(await standingOf(engine, database, index, consumer, parkedUnder(consumer)))
    const items = found.map(
      ({ version, document }): BulkItem => ({
        id: idOf(document),
        version: { of: version, type: 'external_gte' },
        source: indexed(document),
      }),
    )
    const stale = await writeDocuments(engine, writesOf(index), items, { refresh: true })
    const there = await existing(index, stale)
    const deleted = new Set(stale.filter((id) => !there.has(id)))
    if (deleted.size > 0)
      await rewrite(
        index,
        items.filter(({ id }) => deleted.has(id)),
      )
    const wanted = new Set(items.map(({ id }) => id))
    const gone = ids.filter((id) => !wanted.has(id))
    for (const id of gone)
      await engine.write((client, options) =>
        client.delete({ index: writesOf(index), id, refresh: true }, { ...options, ignore: [404] }),
      )
    await deps.afterwards?.(writesOf(index), [...wanted])
  }
}
