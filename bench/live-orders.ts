import { WebSocket } from 'ws'

/** Follows all orders on the live feed of a platform. */
export const followLive = async (url: string) => {
  const arrived = new Set<string>()
  const waiting = new Map<string, () => void>()
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/live`)
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('open', () => socket.send(JSON.stringify({ type: 'subscribe', id: 'all', channel: 'orders' })))
    socket.on('message', (frame) => {
      const message = JSON.parse(String(frame))
      if (message.type === 'error') reject(new Error(`the live feed refused: ${message.code}`))
      if (message.type === 'caught-up') resolve()
      if (message.type !== 'event' || message.event.type !== 'OrderPlaced') return
      const { orderId } = message.event.data
      arrived.add(orderId)
      waiting.get(orderId)?.()
    })
  })
  return {
    /** Resolves when the order's first event has come. */
    placed: (orderId: string): Promise<void> =>
      new Promise((resolve) => {
        if (arrived.has(orderId)) resolve()
        else waiting.set(orderId, resolve)
      }),
    close: () => socket.terminate(),
  }
}
