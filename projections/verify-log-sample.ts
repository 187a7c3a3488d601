import type { EventStore } from '../platform/event-store.ts'
import type { StoredEvent } from '../schemas/envelope.ts'

interface Sampling {
  readonly store: Pick<EventStore, 'readAll' | 'head' | 'seeks'>
  /** Events at most; fewer when the log has fewer. */
  readonly count: number
  /** Only these stored names. */
  readonly types: readonly string[]
  readonly signal: AbortSignal
}

const pageSize = 500

/**
 * The events that come after places chosen at random: a read for each, however long the log is.
 *
 * @returns undefined once that has looked at as much as the log is long, as it does where these events are rare
 */
const fromPlaces = async ({ store, count, types, signal }: Sampling): Promise<StoredEvent[] | undefined> => {
  const head = await store.head()
  const found = new Map<bigint, StoredEvent>()
  let looked = 0n
  for (let tries = 0; tries < count * 2 && found.size < count && head > 0n; tries += 1) {
    signal.throwIfAborted()
    let position = BigInt(Math.floor(Math.random() * Number(head)))
    for (let wrapped = false; ; ) {
      if (looked > head) return undefined
      const page = await store.readAll({ after: position, limit: 1, types })
      looked += page.position - position
      const [stored] = page.events
      if (stored) {
        found.set(stored.position, stored)
        break
      }
      if (page.position >= head || page.position === position) {
        if (wrapped) break
        wrapped = true
        position = 0n
      } else position = page.position
    }
  }
  return [...found.values()]
}

/** A reservoir that each event stays in with the same chance: one pass over the log, each page read once. */
const fromOnePass = async ({ store, count, types, signal }: Sampling): Promise<StoredEvent[]> => {
  const head = await store.head()
  const kept: StoredEvent[] = []
  let seen = 0
  for (let position = 0n; position < head; ) {
    signal.throwIfAborted()
    const page = await store.readAll({ after: position, limit: pageSize, types, bulk: true })
    for (const stored of page.events) {
      const place = seen < count ? seen : Math.floor(Math.random() * (seen + 1))
      if (place < count) kept[place] = stored
      seen += 1
    }
    // The log has become shorter: it was put back meanwhile.
    if (page.position === position) break
    position = page.position
  }
  return kept
}

/** What a page costs, in reads of a single event. */
const readsPerPage = 10n

/** Events chosen at random, in the way that costs the store least. */
export const sampleLog = async (sampling: Sampling): Promise<StoredEvent[]> => {
  const { store, count } = sampling
  if (count <= 0) return []
  // Of a log that has fewer of them than are wanted, every place would be tried.
  const isShort = async () => ((await store.head()) / BigInt(pageSize)) * readsPerPage <= BigInt(count)
  const fromSome = store.seeks && !(await isShort()) ? await fromPlaces(sampling) : undefined
  return fromSome ?? fromOnePass(sampling)
}
