import type { Upcaster } from './upcasting.ts'

/** One step up for each retired version. */
export const upcasters: readonly Upcaster[] = [
  {
    // v2 gives every amount its currency and every line the name that the customer saw; v1 kept no name.
    from: 'order.placed.v1',
    to: 'order.placed.v2',
    upcast: ({ currency, total, lines, ...rest }) => ({
      ...rest,
      lines: (lines as { sku: string; quantity: number; unitPrice: number }[]).map((line) => ({
        sku: line.sku,
        name: line.sku,
        quantity: line.quantity,
        unitPrice: { amount: line.unitPrice, currency },
      })),
      total: { amount: total, currency },
    }),
  },
]
