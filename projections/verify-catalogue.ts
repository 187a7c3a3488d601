import { productStream } from '../schemas/streams.ts'
import { type RowModel, stampsOf } from './verify-model.ts'

/** The products on sale, folded plainly. */
export const catalogueModel: RowModel = {
  types: ['ProductRegistered', 'ProductRepriced'],
  keyOf: (event) => (event.data as { sku: string }).sku,
  originOf: (key) => ({ stream: productStream(key) }),
  fold: (row, event) => {
    if (event.type === 'ProductRegistered') {
      const { data } = event
      return {
        fields: {
          sku: data.sku,
          name: data.name,
          description: data.description,
          brand: data.brand,
          category: data.category,
          price_amount: data.price.amount,
          currency: data.price.currency,
          registered_at: data.registeredAt,
          updated_at: data.registeredAt,
          ...stampsOf(event),
        },
      }
    }
    if (!row || event.type !== 'ProductRepriced') return row
    const { price, repricedAt } = event.data
    const changed = { price_amount: price.amount, currency: price.currency, updated_at: repricedAt }
    return { fields: { ...row.fields, ...changed, ...stampsOf(event) } }
  },
}
