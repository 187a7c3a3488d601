import type { OrderDocument } from '../../platform/search-index.ts'

export const keyOf = (n: number): string => `00000000-0000-4000-9000-${String(n).padStart(12, '0')}`
export const orderIdOf = (n: number): string => `${String(n).padStart(8, '0')}-0000-4000-a000-000000000000`

/** Order number n of customer n, sealed under key n. */
export const orderDocument = (n: number, over: Partial<OrderDocument> = {}): OrderDocument => ({
  orderId: orderIdOf(n),
  customerId: `customer-${n}`,
  status: 'placed',
  placedAt: '2026-11-21T12:00:00.000Z',
  total: { amount: 1_000, currency: 'EUR' },
  lines: [{ sku: 'XPS13', name: 'Dell XPS 13', quantity: 1 }],
  carrier: null,
  trackingId: null,
  person: { keyId: keyOf(n), name: `Somebody Number${n}`, email: `somebody${n}@example.org` },
  ...over,
})
