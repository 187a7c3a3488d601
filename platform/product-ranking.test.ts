import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { searchCatalogue } from '../test/support/search-catalogue.ts'
import { rankProducts } from './product-ranking.ts'
import { parseQuestion } from './search-question.ts'
import { isAccessory } from './search-vocabulary.ts'

const ranked = (q: string) => rankProducts(parseQuestion(q), searchCatalogue, 100)

describe('product ranking', () => {
  it.each([
    ['Silicone Case for iPhone 15 Pro', 'Phones', true],
    ['Apple AirPods Pro 2 with Charging Case', 'Earbuds', false],
    ['Long Sleeve Cotton Shirt', 'Shirts', false],
    ['Dyson V15 Detect Vacuum Cleaner', 'Vacuum Cleaners', false],
    ['Magic Thing', 'Phone Accessories', true],
    ['Shoe Laces 120cm', 'Shoe Care', true],
    ['Running Shoes for Men', 'Shoes', false],
  ])('takes %s of %s for an accessory: %s', (name, category, accessory) => {
    expect(isAccessory({ name, category })).toBe(accessory)
  })

  it('takes a word as typed for what it says, not for a typo of another', () => {
    for (const { document } of ranked('case')) expect(Object.values(document).join(' ')).toMatch(/case|cover/i)
  })

  it('shows products that lack a word only when none has them all', () => {
    expect(ranked('samsung galaxy ultra').map((hit) => hit.id)).toEqual(['SGS24U-512'])
    expect(ranked('samsung galaxy fold').map((hit) => hit.id)).toContain('SGA54-128')
    expect(ranked('samsung fold')).toEqual([])
  })

  it('escapes what it marks', () => {
    const product = { ...searchCatalogue[0], sku: 'X', name: '<i>"Case"</i> & more', description: '', brand: 'B' }
    const [hit] = rankProducts(
      parseQuestion('case'),
      [{ ...product, category: 'C', price: { amount: 1, currency: 'EUR' } }],
      1,
    )
    expect(hit?.highlight).toBe('&#60;i&#62;&#34;<mark>Case</mark>&#34;&#60;/i&#62; &#38; more')
  })

  it('gives the same order whatever order the candidates come in', () => {
    const queries = fc.constantFrom('iphone', 'galaxy pro', 'case', 'coffee', 'shoes', 'ipone 15', 'apple')
    fc.assert(
      fc.property(
        queries,
        fc.shuffledSubarray([...searchCatalogue], { minLength: searchCatalogue.length }),
        (q, shuffled) => {
          expect(rankProducts(parseQuestion(q), shuffled, 100)).toEqual(ranked(q))
        },
      ),
      { numRuns: 30 },
    )
  })

  it('finds every product by its whole name, and by its SKU as the first', () => {
    for (const { name, sku } of searchCatalogue) {
      expect(ranked(name)[0]?.document.name, name).toBe(name)
      expect(ranked(sku)[0]?.id).toBe(sku)
    }
  })

  it('never fails, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (q) => {
        for (const hit of ranked(q)) expect(hit.score).toBeGreaterThan(0)
      }),
      { numRuns: 50 },
    )
  })
})
