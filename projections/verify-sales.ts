import type { Addition, SumModel } from './verify-model.ts'

/** Sales per day and currency, added up plainly. */
export const salesModel: SumModel = {
  types: ['OrderConfirmed', 'OrderCancelled', 'PaymentRefunded'],
  strict: true,
  groupOf: () => 'all',
  additionsOf: (event) => {
    const onDay = (at: string, currency: string, sums: Readonly<Record<string, number>>): Addition[] =>
      Object.entries(sums).map(([field, amount]) => ({
        row: `${at.slice(0, 10)} ${currency}`,
        field,
        amount: BigInt(amount),
      }))
    if (event.type === 'PaymentRefunded') {
      const { refundedAt, amount } = event.data
      return onDay(refundedAt, amount.currency, { refunds: 1, refunded: amount.amount })
    }
    if (event.type !== 'OrderConfirmed' && event.type !== 'OrderCancelled') return []
    const { confirmedAt, lines, total } = event.data
    if (confirmedAt === null) return []
    let units = 0
    for (const line of lines) units += line.quantity
    return event.type === 'OrderConfirmed'
      ? onDay(confirmedAt, total.currency, { orders: 1, units, revenue: total.amount })
      : onDay(confirmedAt, total.currency, {
          cancelled_orders: 1,
          cancelled_units: units,
          cancelled_revenue: total.amount,
        })
  },
}
