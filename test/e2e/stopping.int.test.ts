import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { createShopClient, placeOrder, type ShopClient } from '../support/shop-client.ts'

/** A request whose body is held back: the server has seen it (100 Continue) and cannot have answered it. */
const beginRequest = async (url: string, path: string, body: unknown) => {
  const bytes = JSON.stringify(body)
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let received = ''
  socket.setEncoding('utf8')
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  const continued = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk) => {
      received += chunk
      if (received.startsWith('HTTP/1.1 100 ')) resolve()
    })
    void ended.then(() => reject(new Error(`no 100 Continue, but ${received}`)))
  })
  const head = [
    ...[`POST ${path} HTTP/1.1`, `Host: ${hostname}`, 'Content-Type: application/json', 'Expect: 100-continue'],
    ...[`Content-Length: ${Buffer.byteLength(bytes)}`, '', ''],
  ]
  socket.write(head.join('\r\n'))
  await continued
  return {
    /** Sends the body; the status line of the answer and its JSON. */
    finish: async () => {
      socket.write(bytes)
      await ended
      const answer = received.slice(received.indexOf('\r\n\r\n') + 4)
      return { status: answer.split('\r\n')[0], body: JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) }
    },
  }
}

describe('a process that is told to stop', () => {
  let home: PlatformHome
  let platform: PlatformProcess
  let shop: ShopClient
  const placed: string[] = []

  beforeAll(async () => {
    home = await openHome()
    platform = await home.start()
    shop = createShopClient(home.url)
    await shop.stock('mug', 1_000)
  })
  afterAll(() => home.close())

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s answers the requests that it has begun, says farewell on the live feed and takes its PostgreSQL along',
    async (signal) => {
      const request = await beginRequest(home.url, '/v1/orders', placeOrder([{ sku: 'mug', quantity: 1 }]))
      const live = await openLiveClient(`${home.url.replace('http', 'ws')}/v1/live`)
      live.send({ type: 'subscribe', id: 'all', channel: 'orders' })
      await live.first(({ type }) => type === 'snapshot')

      const gone = platform.kill(signal)
      await eventually(
        async () => platform.log.join('\n'),
        (log) => log.includes(`${signal} received, draining`),
      )
      const { status, body } = await request.finish()
      expect(status).toBe('HTTP/1.1 201 Created')
      placed.push(body.orderId)
      expect((await live.closed).code).toBe(1001)
      expect(live.received.at(-1)).toMatchObject({ type: 'error', code: 'shutting-down', cursors: {} })
      expect(await gone).toBe(0)
      expect(await home.postmaster()).toBeUndefined()
      expect(platform.log.filter((line) => JSON.parse(line).level >= 40)).toEqual([])
      platform = await home.start()
    },
  )

  test('goes on with their orders at the next start', async () => {
    expect(placed).toHaveLength(2)
    for (const orderId of placed) await shop.orderIn(orderId, 'confirmed')
  })

  test('while it starts leaves no PostgreSQL behind either', async () => {
    const other = await openHome()
    try {
      for (const [command, signal, moment] of [
        ['start', 'SIGINT', 'starting the embedded PostgreSQL'],
        ['start', 'SIGTERM', 'the embedded PostgreSQL is ready'],
        ['migrate', 'SIGINT', 'starting the embedded PostgreSQL'],
        ['migrate', 'SIGTERM', 'the embedded PostgreSQL is ready'],
      ] as const) {
        const child = other.spawn([command])
        let log = ''
        const ended = new Promise((resolve) => child.once('exit', resolve))
        child.stderr?.on('data', (chunk) => {
          const before = log.includes(moment)
          log += chunk
          if (!before && log.includes(moment)) child.kill(signal)
        })
        expect(await ended).toBe(0)
        expect(await other.postmaster()).toBeUndefined()
      }
    } finally {
      await other.close()
    }
  })
})
