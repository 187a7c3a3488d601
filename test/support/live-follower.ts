import { type LiveMessage, openLiveClient } from './live-client.ts'

/** A client of `orders` that comes back with its last cursor whenever its connection ends. */
export interface LiveFollower {
  /** Every event it was sent, over all its connections. */
  readonly events: readonly LiveMessage[]
  connections(): number
  close(): Promise<void>
}

/** @param url `ws://host:port/v1/live` */
export const openLiveFollower = async (url: string): Promise<LiveFollower> => {
  const events: LiveMessage[] = []
  let connections = 0
  let closed = false
  let client = await openLiveClient(url)

  const subscribe = (after: unknown) =>
    client.send({ type: 'subscribe', id: 'all', channel: 'orders', ...(after === undefined ? {} : { after }) })

  const follow = async (): Promise<void> => {
    let cursor: unknown
    for (;;) {
      connections += 1
      const seen = client.received
      subscribe(cursor)
      await client.closed
      events.push(...seen.filter(({ type }) => type === 'event'))
      cursor = seen.findLast((message) => message.cursor !== undefined)?.cursor ?? cursor
      if (closed) return
      while (!closed) {
        const next = await openLiveClient(url).catch(() => undefined)
        if (!next) continue
        client = next
        break
      }
    }
  }
  const following = follow()
  await client.first(({ type }) => type === 'caught-up')
  return {
    get events() {
      return [...events, ...client.received.filter(({ type }) => type === 'event')]
    },
    connections: () => connections,
    close: async () => {
      closed = true
      await client.close()
      await following
    },
  }
}
