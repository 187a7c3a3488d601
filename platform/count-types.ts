import type { EventStore } from './event-store.ts'

const pageSize = 2_000

/** The count of a store that cannot do better than to read its log. */
export const countTypesByReading = async (
  readAll: EventStore['readAll'],
  upTo: bigint,
  from = 0n,
): Promise<ReadonlyMap<string, bigint>> => {
  const counts = new Map<string, bigint>()
  for (let after = from; after < upTo; ) {
    const page = await readAll({ after, limit: pageSize })
    for (const { type, position } of page.events) if (position <= upTo) counts.set(type, (counts.get(type) ?? 0n) + 1n)
    if (page.position === after) return counts
    after = page.position
  }
  return counts
}
