import { describe, expect, it } from 'vitest'
import type { CatalogCommand, CatalogEvent } from '../schemas/catalog.ts'
import { given } from '../test/support/given.ts'
import { catalogDecider } from './catalog.ts'

const at = '2026-11-21T09:30:00.000Z'
const price = (amount: number) => ({ amount, currency: 'EUR' })
const product = { sku: 'a', name: 'A', description: '', brand: 'Acme', category: 'things', price: price(100) }
const register: CatalogCommand = { type: 'RegisterProduct', at, ...product }
const registered: CatalogEvent = { type: 'ProductRegistered', data: { ...product, registeredAt: at } }
const reprice = (amount: number): CatalogCommand => ({ type: 'RepriceProduct', at, sku: 'a', price: price(amount) })
const repriced = (from: number, to: number): CatalogEvent => ({
  type: 'ProductRepriced',
  data: { sku: 'a', price: price(to), previousPrice: price(from), repricedAt: at },
})

describe('a product', () => {
  it('is registered once', () => {
    expect(given(catalogDecider).when(register)).toEqual([registered])
    expect(given(catalogDecider, registered).when(register)).toEqual([])
  })
  it('knows the repeat of its registration after it was repriced', () => {
    expect(given(catalogDecider, registered, repriced(100, 200)).when(register)).toEqual([])
  })
  it('is not registered with other particulars', () => {
    expect(given(catalogDecider, registered).when({ ...register, name: 'B' })).toBe('product-already-registered')
  })
  it('is repriced with the price before', () => {
    expect(given(catalogDecider, registered, repriced(100, 200)).when(reprice(300))).toEqual([repriced(200, 300)])
  })
  it('is not repriced to the price it has', () => {
    expect(given(catalogDecider, registered).when(reprice(100))).toEqual([])
  })
  it('is not repriced before it is registered', () => {
    expect(given(catalogDecider).when(reprice(100))).toBe('product-not-found')
  })
})
