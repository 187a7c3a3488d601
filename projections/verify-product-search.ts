import { productStream } from '../schemas/streams.ts'
import type { RowModel } from './verify-model.ts'

/** The documents of products, folded plainly. */
export const productSearchModel: RowModel = {
  types: ['ProductRegistered', 'ProductRepriced'],
  keyOf: (event) => (event.data as { sku: string }).sku,
  originOf: (key) => ({ stream: productStream(key) }),
  fold: (row, event) => {
    const version = event.position
    if (event.type === 'ProductRegistered') {
      const { sku, name, description, brand, category, price } = event.data
      return { fields: { version, sku, name, description, brand, category, price } }
    }
    if (!row || event.type !== 'ProductRepriced') return row
    return { fields: { ...row.fields, version, price: event.data.price } }
  },
}
