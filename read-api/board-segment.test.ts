import { expect, test } from 'vitest'
import { createMemoryEventStore } from '../test/support/memory-event-store.ts'
import { newEvent } from '../test/support/new-event.ts'
import { orderLife } from '../test/support/order-events.ts'
import { readSegment } from './board-segment.ts'

const beginning = { mark: 0, last: undefined, recordedAt: '' }

test('a sale in a version that this code does not know is an error and not no sale', async () => {
  for (const type of ['order.confirmed.v9', 'order.cancelled.v9']) {
    const store = createMemoryEventStore()
    await store.append('order-1', [newEvent({}, 'something.else.v9'), newEvent({}, type)], 'none')
    const instant = { by: 'position', position: 2n } as const
    await expect(readSegment(store, beginning, instant, 10)).rejects.toMatchObject({ code: 'newer-event' })
    expect(await readSegment(store, beginning, { ...instant, position: 1n }, 10)).toMatchObject({ events: 1, sold: [] })
  }
})

test('it ends where an event was recorded later, although a clock that jumped recorded earlier ones behind it', async () => {
  const store = createMemoryEventStore()
  const times = ['2026-01-01', '2026-01-03', '2026-01-02', '2026-01-04'].map((day) => `${day}T00:00:00.000Z`)
  await store.append(
    'order-1',
    times.map(() => newEvent()),
    'none',
  )
  const log = {
    readAll: async (options: Parameters<typeof store.readAll>[0]) => {
      const page = await store.readAll(options)
      return {
        ...page,
        events: page.events.map((event) => ({ ...event, recordedAt: times[Number(event.position) - 1] ?? '' })),
      }
    },
  }
  const upTo = (time: string | undefined) => readSegment(log, beginning, { by: 'time', time: time ?? '' }, 10)
  expect(await upTo(times[2])).toMatchObject({ whole: false, events: 1, recordedAt: times[0] })
  expect(await upTo(times[1])).toMatchObject({ whole: false, events: 3, recordedAt: times[1], last: { position: 3n } })
})

test('a sale whose data cannot be read is left out, and told', async () => {
  const store = createMemoryEventStore()
  const { confirmed } = orderLife({})
  const { lines: _, ...noLines } = confirmed.data
  const { customerId: __, ...noCustomer } = confirmed.data
  const bad = [
    noLines,
    { ...confirmed.data, confirmedAt: 'yesterday' },
    noCustomer,
    { ...confirmed.data, total: null },
    {},
  ]
  const name = 'order.confirmed.v1'
  await store.append(
    'order-1',
    [...bad, confirmed.data].map((data) => newEvent(data, name)),
    'none',
  )
  const told: bigint[] = []
  const instant = { by: 'position', position: 6n } as const
  const segment = await readSegment(store, beginning, instant, 10, ({ position }) => told.push(position))
  expect(told).toEqual([1n, 2n, 3n, 4n, 5n])
  expect(segment).toMatchObject({ events: 6, last: { position: 6n } })
  expect(segment.sold).toMatchObject([
    { board: 'products', key: 'lamp', units: 2n },
    { board: 'customers', key: 'customer-1', units: 2n },
  ])
})
