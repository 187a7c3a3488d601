import { eventually } from './eventually.ts'
import { type LiveMessage, openLiveClient } from './live-client.ts'

/** One connection to the live feed that is to stay open whatever happens to the engines. */
export interface LiveWatch {
  /** Waits until so many events of these orders, of this type, have come. */
  events(type: string, orderIds: readonly string[]): Promise<readonly LiveMessage[]>
  /** How many leaderboards have come. */
  boardsSeen(): number
  /** Waits until so many leaderboards have come. */
  boards(count: number): Promise<void>
  /** Asks something that takes no engine, and waits for the answer. */
  answers(): Promise<void>
  close(): Promise<void>
}

interface OrderEvent {
  readonly type: string
  readonly data: { readonly orderId: string }
}

/** Follows all orders and the products by units. */
export const openLiveWatch = async (url: string): Promise<LiveWatch> => {
  const client = await openLiveClient(`${url.replace('http', 'ws')}/v1/live`)
  const { received } = client
  client.send({ type: 'subscribe', id: 'orders', channel: 'orders' })
  client.send({ type: 'subscribe', id: 'board', channel: 'leaderboard', board: 'products', by: 'units', window: 'all' })
  await client.first(({ type, id }) => type === 'caught-up' && id === 'orders')
  const boardsSeen = () => received.filter(({ leaderboard }) => leaderboard !== undefined).length

  const until = (what: string, holds: () => boolean) =>
    eventually(
      async () => {
        if (client.socket.readyState !== client.socket.OPEN) return 'closed'
        return holds() ? 'here' : 'missing'
      },
      (state) => state === 'here',
      { what },
    )
  return {
    events: async (type, orderIds) => {
      const wanted = new Set(orderIds)
      const found = () =>
        received.filter((message) => {
          const event = message.event as OrderEvent | undefined
          return message.type === 'event' && event?.type === type && wanted.has(event.data.orderId)
        })
      await until(`${wanted.size} live ${type}`, () => found().length >= wanted.size)
      return found()
    },
    boardsSeen,
    boards: (count) => until(`${count} leaderboards`, () => boardsSeen() >= count).then(() => undefined),
    answers: async () => {
      const refused = () => received.filter(({ type }) => type === 'error').length
      const seen = refused()
      client.send({ type: 'unsubscribe', id: 'nothing' })
      await until('an answer on the live connection', () => refused() > seen)
    },
    close: client.close,
  }
}
