/**
 * Work by key: items of one key are handled one bunch after the other in the order they came, different keys side by
 * side, at most so many. A key whose handler takes long delays no other, until that many do.
 */
export interface Lanes<Item> {
  add(key: string, item: Item): void
  /** Keys that have work. */
  readonly busy: number
  /** Resolves when no key has work. */
  idle(): Promise<void>
}

/** @param handle is given everything that waits for the key; it never rejects */
export const createLanes = <Item>(options: {
  readonly concurrency: number
  readonly handle: (key: string, items: readonly Item[]) => Promise<void>
}): Lanes<Item> => {
  const waiting = new Map<string, Item[]>()
  const ready: string[] = []
  let first = 0
  let running = 0
  let scheduled = false
  let idlers: (() => void)[] = []

  const serve = async (key: string): Promise<void> => {
    const items = waiting.get(key)?.splice(0) ?? []
    await options.handle(key, items)
    running -= 1
    if (waiting.get(key)?.length === 0) waiting.delete(key)
    else ready.push(key)
    if (waiting.size === 0) for (const resolve of idlers.splice(0)) resolve()
    pump()
  }

  const pump = (): void => {
    while (running < options.concurrency && first < ready.length) {
      const key = ready[first]
      first += 1
      if (key === undefined) continue
      running += 1
      void serve(key)
    }
    if (first === ready.length || first > 10_000) {
      ready.splice(0, first)
      first = 0
    }
  }

  return {
    add: (key, item) => {
      const items = waiting.get(key)
      if (items) {
        items.push(item)
        return
      }
      waiting.set(key, [item])
      ready.push(key)
      if (scheduled) return
      // What is added in one go is handled in one bunch.
      scheduled = true
      queueMicrotask(() => {
        scheduled = false
        pump()
      })
    },
    get busy() {
      return waiting.size
    },
    idle: () =>
      waiting.size === 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            idlers = [...idlers, resolve]
          }),
  }
}
