import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dumpDatabase, findAny } from '../support/dump.ts'
import { eventually } from '../support/eventually.ts'
import { openLiveClient } from '../support/live-client.ts'
import { bringToEnd } from '../support/orders-to-end.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { createShopClient, placeOrder, type ShopClient } from '../support/shop-client.ts'

const person = (surname: string) => ({
  name: `Zebediah ${surname}`,
  email: `zeb.${surname.toLowerCase()}@unmistakable.example`,
  address: {
    ...{ street: `17 ${surname} Kumquat Crescent`, city: 'Xylopolis', postalCode: 'QX77 7ZZ', country: 'GB' },
  },
})
type Person = ReturnType<typeof person>
/** What must not be found; of each text also the part that no rewriting for a search would take away. */
const textsOf = ({ name, email, address }: Person, surname: string) => [
  ...[name, email, address.street, surname, 'Zebediah', 'unmistakable', 'Kumquat', 'Xylopolis', 'QX77 7ZZ'],
]

describe('a customer who is forgotten', () => {
  let home: PlatformHome
  let platform: PlatformProcess
  let shop: ShopClient
  const logs: string[] = []

  beforeAll(async () => {
    home = await openHome()
    platform = await home.start([], { ORDERLOG_LOG_LEVEL: 'debug' })
    shop = createShopClient(home.url)
    await shop.stock('mug', 1_000)
  })
  afterAll(() => home.close())

  const place = async (customerId: string, { name, email, address }: Person): Promise<string> => {
    const order = placeOrder([{ sku: 'mug', quantity: 1 }], { customerId })
    const request = { ...order, customer: { id: customerId, name, email }, shippingAddress: address }
    const { status, body, headers } = await shop.write('POST', '/v1/orders', request)
    expect(status).toBe(201)
    await shop.get(`/v1/orders/${body.orderId}`, { 'Consistency-Token': headers.get('consistency-token') ?? '' })
    return body.orderId
  }
  const hits = async (q: string) => (await shop.get(`/v1/search/orders?q=${encodeURIComponent(q)}`)).body.hits
  const found = async (q: string, count: number) =>
    eventually(
      () => hits(q),
      (some) => some.length === count,
      { what: `${count} hits for ${q}` },
    )
  const caughtUp = () =>
    eventually(
      async () => (await shop.get('/v1/projections')).body,
      ({ projections }) =>
        projections.length >= 10 &&
        projections.every((one: { partitions: { lagEvents: string }[] }) => one.partitions[0]?.lagEvents === '0'),
    )
  const restart = async (): Promise<void> => {
    logs.push(...platform.log)
    platform = await home.start([], { ORDERLOG_LOG_LEVEL: 'debug' })
  }
  const gone = async (someone: Person, orderIds: readonly string[]): Promise<void> => {
    for (const orderId of orderIds)
      for (const path of [`/v1/orders/${orderId}`, `/v1/orders/${orderId}?asOf=0`])
        expect((await shop.get(path)).body).toMatchObject({
          ...{ orderId, customer: { name: null, email: null }, shippingAddress: null },
        })
    for (const q of [someone.name, someone.email, 'Zebediah']) expect(await hits(q)).toEqual([])
  }

  const quux = person('Quuxwaldo')
  let orderIds: string[]

  test('was there before: on the order’s page, in the search, and in a dump', async () => {
    orderIds = [await place('quux', quux), await place('quux', quux), await place('quux', quux)]
    await bringToEnd(shop, home.query, orderIds.slice(0, 2))
    await found(quux.name, 3)
    await found(quux.email, 3)
    expect((await shop.get(`/v1/orders/${orderIds[0]}`)).body).toMatchObject({
      ...{ customer: { id: 'quux', name: quux.name, email: quux.email }, shippingAddress: quux.address },
    })
    const dump = await dumpDatabase(home.query)
    expect(findAny(dump, [quux.name, quux.email, quux.address.street])).toHaveLength(3)
    const events = dump.split('\n').filter((line) => line.startsWith('log.events: '))
    expect(findAny(events.join('\n'), textsOf(quux, 'Quuxwaldo'))).toEqual([])
    // As autovacuum does sooner or later.
    await home.query('analyze')
  })

  test('is gone from pages, history, search and live feed once the request is answered and the log is read', async () => {
    const answer = await shop.write('DELETE', '/v1/customers/quux/personal-data')
    expect(answer).toMatchObject({ status: 200, body: { customerId: 'quux', status: 'forgotten' } })
    await caughtUp()
    await gone(quux, orderIds)
    const live = await openLiveClient(`${home.url.replace('http', 'ws')}/v1/live`)
    live.send({ type: 'subscribe', id: 'past', channel: 'customer', customerId: 'quux', after: '0' })
    live.send({ type: 'subscribe', id: 'now', channel: 'order', orderId: orderIds[0] })
    await live.first(({ type, id }) => type === 'caught-up' && id === 'past')
    await live.first(({ type, id }) => type === 'snapshot' && id === 'now')
    expect(findAny(JSON.stringify(live.received), textsOf(quux, 'Quuxwaldo'))).toEqual([])
    await live.close()
    expect(findAny(JSON.stringify((await shop.get('/v1/customers/quux/orders')).body), ['Quuxwaldo'])).toEqual([])
  })

  test('is in no row of any table, in clear or in disguise', async () => {
    expect(findAny(await dumpDatabase(home.query), textsOf(quux, 'Quuxwaldo'))).toEqual([])
    expect(await home.query(`select from log.customer_keys where customer_id = 'quux'`)).toEqual([])
  })

  test('is not among the most common values that the planner remembers', async () => {
    const [row] = await home.query<{ statistics: string }>(
      `select string_agg(s::text, ' ') as statistics from pg_stats s where schemaname !~ '^pg_|^information_schema$'`,
    )
    expect(findAny(row?.statistics ?? '', textsOf(quux, 'Quuxwaldo'))).toEqual([])
  })

  test('does not come back when the read models are dropped and built again from the log', async () => {
    await platform.kill('SIGKILL')
    await home.query('drop schema order_details, order_search, order_timeline cascade')
    for (const table of ['checkpoints where consumer', 'projections where name'])
      await home.query(`delete from platform.${table} in ('order_details', 'order_search', 'order_timeline')`)
    await restart()
    await caughtUp()
    for (const orderId of orderIds) expect((await shop.get(`/v1/orders/${orderId}`)).status).toBe(200)
    await gone(quux, orderIds)
    expect(findAny(await dumpDatabase(home.query), textsOf(quux, 'Quuxwaldo'))).toEqual([])
  })

  test('can be forgotten again, and the order under way goes on to its end without a name', async () => {
    expect((await shop.write('DELETE', '/v1/customers/quux/personal-data')).status).toBe(200)
    expect(await bringToEnd(shop, home.query, orderIds)).toEqual({ completed: 3 })
  })

  test('is a new person when they order again: the new order has a name, the old ones have none', async () => {
    const orderId = await place('quux', person('Newcomer'))
    await found('Newcomer', 1)
    expect((await shop.get(`/v1/orders/${orderId}`)).body.customer.name).toBe('Zebediah Newcomer')
    expect((await shop.get(`/v1/orders/${orderIds[0]}`)).body.customer.name).toBeNull()
    await shop.write('DELETE', '/v1/customers/quux/personal-data')
    await caughtUp()
    await gone(person('Newcomer'), [...orderIds, orderId])
  })

  test('leaves nothing behind when orders are placed at the same moment', async () => {
    const racer = person('Racewell')
    const forget = () => shop.write('DELETE', '/v1/customers/racer/personal-data')
    await place('racer', racer)
    const raced: string[] = []
    for (let round = 0; round < 15; round += 1) {
      const [one, , another] = await Promise.all([place('racer', racer), forget(), place('racer', racer)])
      raced.push(one, another)
    }
    await forget()
    await caughtUp()
    await gone(racer, raced)
    expect(findAny(await dumpDatabase(home.query), textsOf(racer, 'Racewell'))).toEqual([])
  })

  test('is forgotten from the command line, whether the platform runs or not', async () => {
    const running = person('Runfold')
    const stopped = person('Stophurst')
    const orders = [await place('running', running), await place('stopped', stopped)]
    await found('Stophurst', 1)
    const first = await home.run(['forget', 'running'])
    expect(first).toMatchObject({
      ...{ code: 0, stdout: 'The personal data of running can no longer be read by anyone.\n', stderr: '' },
    })
    await platform.kill('SIGTERM')
    expect(await home.run(['forget', 'stopped'])).toMatchObject({ code: 0 })
    expect(await home.postmaster()).toBeUndefined()
    await restart()
    await caughtUp()
    await gone(running, orders.slice(0, 1))
    await gone(stopped, orders.slice(1))
    const texts = [...textsOf(running, 'Runfold'), ...textsOf(stopped, 'Stophurst')]
    expect(findAny(await dumpDatabase(home.query), texts)).toEqual([])
  })

  test('never was in a log file, be it the platform’s or the PostgreSQL’s', async () => {
    const names = ['Quuxwaldo', 'Newcomer', 'Racewell', 'Runfold', 'Stophurst', 'Zebediah', 'Kumquat', 'unmistakable']
    expect(findAny([...logs, ...platform.log].join('\n'), names)).toEqual([])
    expect(findAny(await readFile(join(home.directory, 'postgres', 'postgres.log'), 'utf8'), names)).toEqual([])
  })
})
