import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openHome, type PlatformHome } from '../support/platform-home.ts'
import type { PlatformProcess } from '../support/platform-process.ts'
import { seedOrders } from '../support/seed-orders.ts'
import { createShopClient, placeOrder, send } from '../support/shop-client.ts'

let home: PlatformHome
let platform: PlatformProcess
/** No saga: it would bring thousands of orders to an end that are only there to be read. */
const roles = ['write-side', 'projections', 'read-api']
beforeAll(async () => {
  home = await openHome()
  platform = await home.start(roles)
})
afterAll(() => home.close())

interface Told {
  readonly generation: number
  readonly phase: string
  readonly state: string
  readonly position: string
  readonly error: string | null
}

const asked = { operator: 'ada', reason: 'a test' }
const rebuild = async (name: string) => {
  const answer = await send(home.url, 'POST', `/v1/projections/${name}/rebuild`, asked)
  expect(answer.status, JSON.stringify(answer.body)).toBe(202)
}
const told = async (name: string): Promise<Told | undefined> => {
  const text = `select generation, phase, state, position, error from platform.rebuilds
    where projection = $1 order by started_at desc limit 1`
  return (await home.query<Told>(text, [name]))[0]
}
const until = (name: string, what: string, holds: (rebuild: Told) => boolean) =>
  eventually(
    () => told(name),
    (rebuild) => rebuild !== undefined && holds(rebuild),
    { what, everyMs: 5 },
  )
const done = (name: string, generation: number) =>
  until(name, `generation ${generation} of ${name}`, (now) => now.state === 'done' && now.generation === generation)
const restart = async (): Promise<void> => {
  await platform.kill('SIGKILL')
  platform = await home.start(roles)
}
/** Every order with its status, as the fold of the log has it and as the read model shows it. */
const differences = () =>
  home.query(
    `select coalesce(l.order_id, o.order_id) as order_id, l.status as expected, o.status as found
     from (
       select (data->>'orderId')::uuid as order_id,
         (array_agg(split_part(type, '.', 2) order by revision desc))[1] as status
       from log.events where type like 'order.%' group by 1
     ) l full join order_details.orders o using (order_id)
     where l.status is distinct from o.status`,
  )
const equal = () => eventually(differences, (rows) => rows.length === 0, { what: 'order details equal to the log' })

/** Keeps the swap waiting, as it waits for whoever writes the live generation. */
const holdSwap = async () => {
  const client = new pg.Client(await home.databaseUrl())
  client.on('error', () => undefined)
  await client.connect()
  await client.query("begin; select 1 from platform.checkpoints where consumer = 'order_details' for update")
  return () => client.end()
}

test('killed at the start, in the middle, before and after the swap, a rebuild goes on by itself and loses nothing', async () => {
  await seedOrders(await home.databaseUrl(), 6_000)
  await equal()

  await rebuild('order_details')
  await restart()
  await until('order_details', 'the load having begun', ({ position }) => BigInt(position) > 0n)
  await restart()
  await done('order_details', 2)
  await restart()
  await equal()

  const letGo = await holdSwap()
  await rebuild('order_details')
  await until('order_details', 'the swap', ({ phase }) => phase === 'swapping')
  await restart()
  expect(await told('order_details')).toMatchObject({ phase: 'swapping', state: 'running' })
  await letGo()
  await done('order_details', 3)
  await equal()

  const shop = createShopClient(home.url)
  await shop.stock('lamp', 10)
  const { body } = await shop.write('POST', '/v1/orders', placeOrder([{ sku: 'lamp', quantity: 1 }]))
  expect((await shop.orderIn(body.orderId, 'placed')).status).toBe(200)
  await equal()
}, 600_000)

test('PostgreSQL killed in the middle of a rebuild is waited for', async () => {
  await rebuild('order_timeline')
  await until('order_timeline', 'the load having begun', ({ position }) => BigInt(position) > 0n)
  const server = await home.postmaster()
  if (!server) throw new Error('the embedded PostgreSQL does not run')
  process.kill(server.pid, 'SIGKILL')
  await done('order_timeline', 2)
  const [entries] = await home.query<{ missing: string }>(
    `select count(*) as missing from log.events e
     where e.data->>'orderId' is not null and not exists (select from order_timeline.entries t where t.position = e.position)`,
  )
  expect(entries?.missing).toBe('0')
}, 600_000)
