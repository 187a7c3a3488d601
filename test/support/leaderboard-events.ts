import fc from 'fast-check'
import type { RecordedEvent } from '../../schemas/envelope.ts'
import type { OrderEvent } from '../../schemas/order.ts'

type Counted = Extract<OrderEvent, { type: 'OrderConfirmed' | 'OrderCancelled' }>

const orders = fc.array(
  fc.record({
    customerId: fc.constantFrom('ada', 'bob', 'cy'),
    currency: fc.constantFrom('EUR', 'JPY'),
    lines: fc.uniqueArray(
      fc.record({
        sku: fc.constantFrom('phone', 'case', 'cable', 'Cable'),
        quantity: fc.integer({ min: 1, max: 10_000 }),
        amount: fc.integer({ min: 1, max: 1_000_000_000 }),
      }),
      { minLength: 1, maxLength: 3, selector: (line) => line.sku },
    ),
    confirmedAt: fc.constantFrom(
      '2026-11-20T23:59:59.999Z',
      '2026-11-21T00:00:00.000Z',
      '2026-11-21T00:59:59.999Z',
      '2026-11-21T13:05:00.000Z',
    ),
    fate: fc.constantFrom('confirmed', 'cancelled', 'never confirmed'),
  }),
  { maxLength: 12 },
)

/** A log of confirmations and cancellations, and the same events cut into batches at random. */
export const confirmationsAndCancellations = fc
  .tuple(orders, fc.array(fc.nat({ max: 30 }), { maxLength: 6 }), fc.infiniteStream(fc.nat()))
  .map(([placed, cuts, random]) => {
    const streams = placed.map(({ customerId, currency, lines, confirmedAt, fate }, n) => {
      const data = {
        orderId: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
        customerId,
        lines: lines.map(({ sku, quantity, amount }) => ({
          sku,
          name: sku,
          quantity,
          unitPrice: { amount, currency },
        })),
        total: { amount: lines.reduce((sum, line) => sum + line.quantity * line.amount, 0), currency },
      }
      const confirmed: Counted = { type: 'OrderConfirmed', data: { ...data, confirmedAt } }
      const cancelled = (at: string | null): Counted => ({
        type: 'OrderCancelled',
        data: { ...data, reason: 'customer_request', confirmedAt: at, cancelledAt: '2026-11-21T20:00:00.000Z' },
      })
      if (fate === 'confirmed') return [confirmed]
      return fate === 'cancelled' ? [confirmed, cancelled(confirmedAt)] : [cancelled(null)]
    })
    // Any interleaving that keeps each order's events in their order.
    const events: RecordedEvent[] = []
    for (let left = streams; left.length > 0; left = left.filter((stream) => stream.length > 0)) {
      const chosen = left[(random.next().value ?? 0) % left.length]?.shift()
      if (chosen) events.push({ ...chosen, position: BigInt(events.length + 1) } as RecordedEvent)
    }
    const marks = [0, ...cuts.filter((cut) => cut < events.length).sort((a, b) => a - b), events.length]
    const batches = marks.slice(1).map((to, at) => events.slice(marks[at], to))
    return { events, batches }
  })

/** The boards counted anew, sale by sale, from what remains confirmed: `board measure currency window bucket key`. */
export const naiveBoards = (events: readonly RecordedEvent[]): Map<string, bigint> => {
  const cancelled = new Set(events.flatMap((event) => (event.type === 'OrderCancelled' ? [event.data.orderId] : [])))
  const scores = new Map<string, bigint>()
  const add = (place: string, key: string, units: number, revenue: bigint, currency: string) => {
    for (const [measure, member, score] of [
      ['units ', key, BigInt(units)],
      ['currencies ', currency, BigInt(units)],
      [`revenue ${currency}`, key, revenue],
    ] as const)
      for (const window of place.split('|')) {
        const id = window.replace('#', measure).replace('@', member)
        scores.set(id, (scores.get(id) ?? 0n) + score)
      }
  }
  for (const event of events) {
    if (event.type !== 'OrderConfirmed' || cancelled.has(event.data.orderId)) continue
    const { confirmedAt: at, lines, customerId, total } = event.data
    const windows = (board: string) =>
      [
        `${board} # hour ${at.slice(0, 13)}:00:00Z @`,
        `${board} # day ${at.slice(0, 10)}T00:00:00Z @`,
        `${board} # all 1970-01-01T00:00:00Z @`,
      ].join('|')
    for (const { sku, quantity, unitPrice } of lines)
      add(windows('products'), sku, quantity, BigInt(quantity) * BigInt(unitPrice.amount), unitPrice.currency)
    const units = lines.reduce((sum, line) => sum + line.quantity, 0)
    add(windows('customers'), customerId, units, BigInt(total.amount), total.currency)
  }
  return new Map([...scores].sort())
}
