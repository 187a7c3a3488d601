/**
 * Work that is taken up in order and finished in any order: the mark is where everything before is finished, and so
 * where to go on after a crash. Memory: what is unfinished, however far the rest has come.
 */
export interface LowWaterMark {
  /** Takes up a stretch that ends at this position and has so many items; returns what to call once per finished item. */
  begin(position: bigint, items: number): () => void
  position(): bigint
}

export const createLowWaterMark = (start: bigint): LowWaterMark => {
  /** Where each unfinished stretch begins, oldest first. */
  const unfinished = new Map<number, bigint>()
  let end = start
  let serial = 0

  return {
    begin: (position, items) => {
      const before = end
      end = position
      serial += 1
      const id = serial
      let left = items
      if (left > 0) unfinished.set(id, before)
      return () => {
        left -= 1
        if (left === 0) unfinished.delete(id)
      }
    },
    position: () => {
      for (const before of unfinished.values()) return before
      return end
    },
  }
}
