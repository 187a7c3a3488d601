import { NeverSent } from './failures.ts'

/**
 * Gathers single calls into batches: while a batch travels, the next one fills up. No call waits for a timer, so an
 * idle system adds no latency, and a busy one pays one round trip for many calls.
 *
 * States of an item: queued -> in flight -> settled, or queued -> given up (`NeverSent`) when the engine hangs and its
 * turn does not come. An error of the whole batch rejects every item in it; an outcome of one item is a value and concerns
 * that item alone.
 */
export interface BatcherOptions<Item, Result> {
  /** Handles a batch; returns one result per item, in order. */
  readonly run: (items: readonly Item[]) => Promise<readonly Result[]>
  /** Items per batch at most. */
  readonly maxItems: number
  /** Batches in flight at most. */
  readonly concurrency: number
  /** Two items with the same key never share a batch nor overlap in flight. */
  readonly keyOf?: (item: Item) => string
  /** Weight of an item and the bound on a batch's sum, say in bytes. */
  readonly weightOf?: (item: Item) => number
  readonly maxWeight?: number
  /** Who handles the batches, for the error of an item that was given up; default PostgreSQL. */
  readonly engine?: string
  /** An item that has been queued so long is given up, milliseconds; default 10,000. */
  readonly maxQueuedMs?: number
  /** Items queued at most; one more is given up at once. Default 20,000. */
  readonly maxQueued?: number
  /** Bound on the weight of what is queued. */
  readonly maxQueuedWeight?: number
}

interface Entry<Item, Result> {
  readonly item: Item
  readonly since: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

export const createBatcher = <Item, Result>(
  options: BatcherOptions<Item, Result>,
): ((item: Item) => Promise<Result>) => {
  const { engine = 'PostgreSQL', maxQueuedMs = 10_000, maxQueued = 20_000 } = options
  const { maxQueuedWeight = Number.POSITIVE_INFINITY } = options
  const weigh = (item: Item): number => options.weightOf?.(item) ?? 0
  let queue: Entry<Item, Result>[] = []
  let queuedWeight = 0
  let expiry: NodeJS.Timeout | undefined
  const keysInFlight = new Set<string>()
  let inFlight = 0
  let scheduled = false

  const take = (): Entry<Item, Result>[] => {
    if (!options.keyOf && !options.weightOf) {
      const taken = queue.slice(0, options.maxItems)
      queue = queue.slice(options.maxItems)
      return taken
    }
    const taken: Entry<Item, Result>[] = []
    const left: Entry<Item, Result>[] = []
    // A key that was passed over stays in front of its later namesakes.
    const passedOver = new Set<string>()
    let weight = 0
    for (const entry of queue) {
      const key = options.keyOf?.(entry.item)
      const itemWeight = weigh(entry.item)
      const fits =
        taken.length < options.maxItems &&
        (taken.length === 0 || weight + itemWeight <= (options.maxWeight ?? Number.POSITIVE_INFINITY)) &&
        (key === undefined || (!keysInFlight.has(key) && !passedOver.has(key)))
      if (fits) {
        taken.push(entry)
        weight += itemWeight
        if (key !== undefined) keysInFlight.add(key)
      } else {
        left.push(entry)
        if (key !== undefined) passedOver.add(key)
      }
    }
    queue = left
    queuedWeight -= weight
    return taken
  }

  const travel = async (entries: Entry<Item, Result>[]): Promise<void> => {
    try {
      const results = await options.run(entries.map((entry) => entry.item))
      if (results.length !== entries.length)
        throw new Error(`a batch of ${entries.length} came back with ${results.length} results`)
      entries.forEach((entry, index) => {
        entry.resolve(results[index] as Result)
      })
    } catch (error) {
      for (const entry of entries) entry.reject(error)
    } finally {
      if (options.keyOf) for (const entry of entries) keysInFlight.delete(options.keyOf(entry.item))
      inFlight -= 1
      pump()
    }
  }

  const pump = (): void => {
    while (inFlight < options.concurrency && queue.length > 0) {
      const entries = take()
      if (entries.length === 0) return
      inFlight += 1
      void travel(entries)
    }
  }

  /** One timer for all: the queue is in the order of arrival, whatever is passed over. */
  const watchOldest = (): void => {
    const [oldest] = queue
    if (expiry || !oldest) return
    expiry = setTimeout(giveUp, Math.max(1, oldest.since + maxQueuedMs - performance.now())).unref()
  }

  const giveUp = (): void => {
    expiry = undefined
    const due = performance.now() - maxQueuedMs
    const fresh = queue.findIndex((entry) => entry.since > due)
    for (const { item, reject } of queue.splice(0, fresh < 0 ? queue.length : fresh)) {
      queuedWeight -= weigh(item)
      reject(new NeverSent(engine, `it did not get to this within ${maxQueuedMs} ms`))
    }
    watchOldest()
  }

  return (item) =>
    new Promise((resolve, reject) => {
      const weight = weigh(item)
      if (queue.length >= maxQueued || (queue.length > 0 && queuedWeight + weight > maxQueuedWeight))
        return reject(new NeverSent(engine, `${queue.length} others wait for it already`))
      queue.push({ item, since: performance.now(), resolve, reject })
      queuedWeight += weight
      watchOldest()
      if (scheduled) return
      // Callers of the same turn of the event loop share the first batch.
      scheduled = true
      setImmediate(() => {
        scheduled = false
        pump()
      })
    })
}
