import type { Client, estypes } from '@elastic/elasticsearch'
import { describe, expect, it } from 'vitest'
import { type BulkItem, DocumentRefused, writeDocuments } from './elasticsearch-bulk.ts'
import { type Elasticsearch, IndexMissing } from './elasticsearch-client.ts'
import { EngineUnavailable } from './failures.ts'

type Verdict = readonly [status: number, type?: string]

/** An engine that answers each document as told, and remembers what it was sent. */
const answering = (verdict: (id: string, time: number) => Verdict) => {
  const requests: string[][] = []
  const bytes: number[] = []
  const times = new Map<string, number>()
  const client = {
    bulk: async ({ operations = [], require_alias, filter_path }: estypes.BulkRequest & { filter_path?: string }) => {
      expect(require_alias).toBe(true)
      expect(filter_path).toContain('status')
      const lines = operations as string[]
      bytes.push(lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0))
      const ids = lines.filter((_, at) => at % 2 === 0).map((line): string => JSON.parse(line).index._id)
      requests.push(ids)
      const items = ids.map((id) => {
        const time = (times.get(id) ?? 0) + 1
        times.set(id, time)
        const [status, type] = verdict(id, time)
        return { index: { status, ...(type ? { error: { type } } : {}) } }
      })
      return { items }
    },
  } as unknown as Client
  const run: Elasticsearch['write'] = (request) => request(client, { signal: AbortSignal.timeout(60_000) })
  const engine: Elasticsearch = { query: run, write: run, ping: run, close: async () => undefined }
  const write = (items: Iterable<BulkItem>) => writeDocuments(engine, 'a-writes', items, { refresh: false })
  return { write, requests, bytes, times }
}

const item = (id: string, text = ''): BulkItem => ({ id, version: { of: 7n, type: 'external' }, source: { text } })
/** Bytes of a document with a four-letter id and no text. */
const overhead =
  JSON.stringify({ index: { _id: 'd100', version: 7, version_type: 'external' } }).length + '{"text":""}'.length
const named = (...ids: string[]): BulkItem[] => ids.map((id) => item(id))

describe('writing many documents', () => {
  it('asks nothing for none', async () => {
    const engine = answering(() => [201])
    expect(await engine.write([])).toEqual([])
    expect(engine.requests).toEqual([])
  })

  it.each([1, 4, 5, 6, 100])(
    'cuts %i documents of 100 kB into requests of at most 500 kB, none lost, none twice',
    async (n) => {
      const engine = answering(() => [201])
      const ids = Array.from({ length: n }, (_, at) => `d${100 + at}`)
      await engine.write(ids.map((id) => item(id, 'x'.repeat(100_000 - overhead))))
      expect(engine.requests.flat().sort()).toEqual(ids.toSorted())
      expect(Math.max(...engine.bytes)).toBeLessThanOrEqual(500_000)
      expect(engine.requests).toHaveLength(Math.ceil(n / 5))
    },
  )

  it('sends a document that is larger than a request alone', async () => {
    const engine = answering(() => [201])
    await engine.write([item('a'), item('huge', 'x'.repeat(3_000_000)), item('b')])
    expect(engine.requests).toEqual([['a'], ['huge'], ['b']])
  })

  it('tells which the engine has already', async () => {
    const engine = answering((id) => (id === 'b' ? [409, 'version_conflict_engine_exception'] : [201]))
    expect(await engine.write(named('a', 'b', 'c'))).toEqual(['b'])
  })

  it('asks again for what the engine was too busy for, and for that alone', async () => {
    const engine = answering((id, time) => (id === 'b' && time < 3 ? [429, 'es_rejected_execution_exception'] : [201]))
    expect(await engine.write(named('a', 'b', 'c'))).toEqual([])
    expect(engine.requests).toEqual([['a', 'b', 'c'], ['b'], ['b']])
  })

  it('gives up on an engine that stays too busy', async () => {
    const engine = answering((id) => (id === 'b' ? [503, 'unavailable_shards_exception'] : [201]))
    await expect(engine.write(named('a', 'b'))).rejects.toThrow(EngineUnavailable)
    expect(engine.times.get('a')).toBe(1)
    expect(engine.times.get('b')).toBeGreaterThan(3)
  })

  it('writes all others when one is refused, and then names it', async () => {
    const engine = answering((id, time) => {
      if (id === 'b') return [400, 'document_parsing_exception']
      return id === 'c' && time === 1 ? [429] : [201]
    })
    const outcome = engine.write(named('a', 'b', 'c'))
    await expect(outcome).rejects.toThrow(DocumentRefused)
    await expect(outcome).rejects.toThrow('refuses the document b: document_parsing_exception')
    expect(engine.times.get('c')).toBe(2)
  })

  it('stops when the index is gone', async () => {
    const engine = answering(() => [404, 'index_not_found_exception'])
    await expect(engine.write(named('a'))).rejects.toThrow(IndexMissing)
  })

  it('refuses a position that would be rounded', async () => {
    const engine = answering(() => [201])
    const beyond = { id: 'a', version: { of: 2n ** 53n, type: 'external' as const }, source: {} }
    await expect(engine.write([beyond])).rejects.toThrow(RangeError)
    expect(engine.requests).toEqual([])
  })
})
