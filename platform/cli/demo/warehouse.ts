import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import type { ApiClient } from './api-client.ts'

/** Status of each order as the live feed tells it. */
export interface Warehouse {
  readonly statuses: ReadonlyMap<string, string>
  /** Parcels on their way from confirmed to delivered. */
  readonly busy: () => number
  /** Parcels that could not be sent, in words. */
  readonly failures: readonly string[]
  close(): void
}

const statusAfter: Record<string, string> = {
  OrderPlaced: 'placed',
  OrderConfirmed: 'confirmed',
  OrderShipped: 'shipped',
  OrderDelivered: 'delivered',
  OrderCancelled: 'cancelled',
}

/**
 * Follows all orders on `/v1/live` and ships and delivers each that gets confirmed. A lost connection is made again from
 * the last cursor, so no confirmation is missed.
 */
export const openWarehouse = async (baseUrl: string, api: ApiClient): Promise<Warehouse> => {
  const statuses = new Map<string, string>()
  const parcels = new Set<Promise<void>>()
  const failures: string[] = []
  let cursor: string | undefined
  let closed = false
  let socket: WebSocket | undefined

  const deliver = async (orderId: string): Promise<void> => {
    await sleep(100 + Math.random() * 200)
    const tracking = { carrier: 'Demo Parcel', trackingId: `DP${orderId.slice(-8).toUpperCase()}` }
    const shipped = await api.write('POST', `/v1/orders/${orderId}/ship`, tracking)
    // Refused: the customer changed their mind at the last moment.
    if (shipped.status !== 200) return
    await sleep(100 + Math.random() * 200)
    await api.write('POST', `/v1/orders/${orderId}/deliver`, {})
  }

  const take = (orderId: string, type: string): void => {
    statuses.set(orderId, statusAfter[type] ?? type)
    if (type !== 'OrderConfirmed') return
    const parcel = deliver(orderId)
      .catch((error: Error) => void failures.push(`order ${orderId}: ${error.message}`))
      .finally(() => parcels.delete(parcel))
    parcels.add(parcel)
  }

  const connect = (): Promise<void> =>
    new Promise((resolve) => {
      const connection = new WebSocket(`${baseUrl.replace(/^http/, 'ws')}/v1/live`)
      socket = connection
      connection.on('open', () => {
        connection.send(
          JSON.stringify({ type: 'subscribe', id: 'orders', channel: 'orders', ...(cursor ? { after: cursor } : {}) }),
        )
      })
      connection.on('message', (data) => {
        const message = JSON.parse(String(data))
        if (message.cursor !== undefined) cursor = message.cursor
        if (message.type === 'event') take(message.event.data.orderId, message.event.type)
        if (message.type === 'snapshot' || message.type === 'caught-up') resolve()
      })
      connection.on('error', () => connection.terminate())
      connection.on('close', () => {
        if (!closed) setTimeout(() => void connect().then(resolve), 200)
      })
    })
  await connect()

  return {
    statuses,
    busy: () => parcels.size,
    failures,
    close: () => {
      closed = true
      socket?.close()
    },
  }
}
