import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { searchCatalogue } from '../test/support/search-catalogue.ts'
import type { OrderDocument, ProductDocument, ScannedDocument, SearchIndex } from './search-index.ts'

export interface OpenedSearchIndex {
  readonly index: SearchIndex
  close(): Promise<void>
  /** Makes what was written visible to `search`, where an engine does that by and by. */
  refresh?(): Promise<void>
}

/** A query, the SKUs that come first in this order, and those that may come later but never before them. */
type Case = readonly [q: string, first: readonly string[], later?: readonly string[]]

const relevance: Readonly<Record<string, readonly Case[]>> = {
  'a product before its accessories': [
    ['iphone 15 pro', ['IPH15P-128', 'IPH15PM-256'], ['CASE-IPH15P-SIL', 'CHG-USBC-20', 'SPR-IPH15P']],
    ['iphone 15', ['IPH15-128', 'IPH15P-128', 'IPH15PM-256'], ['CASE-IPH15-CLR', 'CHG-USBC-20']],
    ['galaxy s24', ['SGS24-256', 'SGS24U-512'], ['CASE-SGS24-RUG']],
    ['macbook air', ['MBA-13'], ['SLV-MBA-13']],
    ['airpods pro', ['APP-2'], ['CASE-APP']],
    ['apple watch', ['AW-9'], ['AW-STRAP']],
    ['coffee machine', ['COF-NESP'], ['COF-DESC']],
    ['tv', ['TV-SAM-65'], ['MNT-TV-65', 'RMT-TV', 'CBL-HDMI-3M']],
    ['running shoes', ['SHOE-UB', 'SHOE-PEG-40'], ['INSOLE-GEL', 'LACE-120']],
  ],
  'the accessory when it is asked for': [
    ['iphone 15 pro case', ['CASE-IPH15P-SIL']],
    ['case for iphone 15', ['CASE-IPH15-CLR', 'CASE-IPH15P-SIL']],
    ['iphone 15 pro charger', ['CHG-USBC-20']],
    ['iphone screen protector', ['SPR-IPH15P']],
    ['laptop bag', ['BAG-LAP-15']],
    ['tv wall mount', ['MNT-TV-65']],
    ['shoe laces', ['LACE-120']],
    ['coffee machine descaler', ['COF-DESC']],
    ['apple watch strap', ['AW-STRAP']],
    ['airpods case', ['CASE-APP']],
  ],
  typos: [
    ['ipone 15', ['IPH15-128']],
    ['ihpone 15 pro', ['IPH15P-128']],
    ['samsng galaxy', ['SGA54-128']],
    ['samsung galxy s24', ['SGS24-256']],
    ['mackbook', ['MBA-13']],
    ['hedphones', ['HP-QC']],
    ['nespreso', ['COF-NESP']],
    ['adiddas', ['SHOE-STAN']],
  ],
  plurals: [
    ['chargers', ['CHG-CAR']],
    ['batteries', ['BAT-AA-20', 'BAT-AAA-8']],
    ['battery', ['BAT-AA-20', 'BAT-AAA-8']],
    ['phone cases', ['CASE-IPH15-CLR', 'CASE-IPH15P-SIL']],
    ['womens boots', ['SHOE-BOOT-W']],
    ['coffee filters', ['COF-FILTER-4']],
    ['mice', ['MSE-MX3']],
  ],
  synonyms: [
    ['mobile phone', ['IPHSE-64'], ['HLD-CAR', 'CASE-IPH15-CLR']],
    ['cell phone', ['IPHSE-64'], ['HLD-CAR']],
    ['pixel smartphone', ['PIX8-128', 'PIX8P-256']],
    ['samsung television', ['TV-SAM-65']],
    ['lenovo notebook', ['TPX1']],
    ['acer laptop', ['SWIFT3']],
    ['trainers', ['SHOE-574'], ['LACE-120']],
    ['sony earbuds', ['HP-XM5']],
    ['galaxy s24 case', ['CASE-SGS24-RUG']],
    ['coffee maker', ['COF-NESP'], ['COF-DESC']],
  ],
  'spelling that differs in accents, case, spaces and order': [
    ['cafe crema', ['COF-BEANS']],
    ['CAFÉ CRÈMA', ['COF-BEANS']],
    ['delonghi', ['COF-MAG']],
    ["DE'LONGHI magnifica", ['COF-MAG']],
    ['pro 15 iphone', ['IPH15P-128', 'IPH15PM-256']],
    ['iphone15pro', ['IPH15P-128']],
    ['wh1000xm5', ['HP-XM5']],
    ['airfryer', ['FRY-XL']],
    ['play station 5', ['CON-PS5']],
    ['usb c cable', ['CBL-USBC-2M']],
  ],
  'a last word that is not finished': [
    ['iph', ['IPHSE-64'], ['CASE-IPH15-CLR']],
    ['galaxy s24 ul', ['SGS24U-512']],
    ['blueto', []],
    ['macbook p', ['MBP-14']],
    ['espr', ['COF-MAG']],
  ],
  'an SKU': [
    ['IPH15-128', ['IPH15-128']],
    ['iph15p-128', ['IPH15P-128']],
    ['case-app', ['CASE-APP']],
    ['XPS13', ['XPS13']],
  ],
  phrases: [
    ['"galaxy buds"', ['SGB-2']],
    ['"pro max"', ['IPH15PM-256']],
    ['"wall charger" anker', ['CHG-USBC-65']],
    ['"buds galaxy"', []],
    ['"ipone"', []],
  ],
  'nothing for nonsense': [
    ['xyzzy qwfpg', []],
    ['asdfghjkl', []],
    ['iphone xyzzy', []],
    ['zzzz', []],
    ['!!! ??? ***', []],
    ['"', []],
    ['\u{1F4F1}', []],
  ],
  'no operator of a query language': [
    ['iphone & | ! <-> :*', ['IPHSE-64']],
    ["dell' xps) or (1=1", ['XPS13']],
    ['dell:* & xps', ['XPS13']],
    ['AND OR NOT dell', []],
    ['dell_xps%', ['XPS13']],
  ],
}

const identity = '00000000-0000-4000-8000-000000000001'
const key = (n: number) => `00000000-0000-4000-9000-${String(n).padStart(12, '0')}`
const orderId = (n: number) => `${String(n).padStart(8, '0')}-0000-4000-a000-000000000000`

const order = (n: number, over: Partial<OrderDocument> = {}): OrderDocument => ({
  orderId: orderId(n),
  customerId: `customer-${n}`,
  status: 'placed',
  placedAt: `2026-11-21T12:00:${String(n % 60).padStart(2, '0')}.000Z`,
  total: { amount: 1_000 * n, currency: 'EUR' },
  lines: [{ sku: 'XPS13', name: 'Dell XPS 13', quantity: 1 }],
  carrier: null,
  trackingId: null,
  person: { keyId: key(n), name: `Somebody Number${n}`, email: `somebody${n}@example.org` },
  ...over,
})
const person = (n: number, name: string, email: string) => ({ person: { keyId: key(n), name, email } })

/** What every search index must do. `open` gives an unprepared, empty one. */
export const describeSearchIndex = (name: string, open: () => Promise<OpenedSearchIndex>): void => {
  describe(`search index: ${name}`, () => {
    let opened: OpenedSearchIndex
    let index: SearchIndex
    beforeAll(async () => {
      opened = await open()
      index = opened.index
      await Promise.all([index.products.prepare(identity), index.products.prepare(identity)])
      await Promise.all([index.orders.prepare(identity), index.orders.prepare(identity)])
    })
    afterAll(() => opened?.close())

    describe('products', () => {
      const batch = (from: bigint, to: bigint, upserts: readonly { version: bigint; document: ProductDocument }[]) => ({
        consumer: 'product_search',
        partition: 0,
        from,
        to,
        upserts,
      })
      const found = async (q: string, over: { category?: string; brand?: string; limit?: number } = {}) => {
        const hits = await index.products.search({ q, limit: 50, ...over })
        return hits.map((hit) => hit.id)
      }
      beforeAll(async () => {
        const upserts = searchCatalogue.map((document, at) => ({ version: BigInt(at + 1), document }))
        expect(await index.products.applyBatch(batch(0n, 100n, upserts))).toBe('applied')
        await opened.refresh?.()
      })

      for (const [what, cases] of Object.entries(relevance))
        describe(`finds ${what}`, () => {
          for (const [q, first, later = []] of cases)
            it(`${q} -> ${first.join(', ') || 'nothing'}`, async () => {
              const skus = await found(q)
              if (first.length === 0) expect(skus).toEqual([])
              else expect(skus.slice(0, first.length)).toEqual(first)
              const places = later.map((sku) => skus.indexOf(sku)).filter((place) => place >= 0)
              const accessories = new Set(later)
              const products = skus.filter((sku) => !accessories.has(sku)).slice(0, first.length)
              for (const place of places) expect(place).toBeGreaterThan(skus.indexOf(products.at(-1) ?? ''))
            })
        })

      it('narrows by category and brand, whatever their case', async () => {
        expect(await found('apple', { category: 'laptops' })).toEqual(['MBA-13', 'MBP-14'])
        expect(await found('case', { brand: 'SPIGEN' })).not.toContain('CASE-IPH15P-SIL')
        expect(await found('dell xps', { brand: 'Apple' })).toEqual([])
      })

      it('returns no more than the limit, the same ones every time', async () => {
        const all = await found('galaxy')
        expect(await found('galaxy', { limit: 2 })).toEqual(all.slice(0, 2))
        expect(await found('galaxy')).toEqual(all)
      })

      it('returns the document, falling scores and what matched', async () => {
        const hits = await index.products.search({ q: 'dell xps', limit: 10 })
        expect(hits[0]?.document).toEqual(searchCatalogue.find((product) => product.sku === 'XPS13'))
        expect(hits[0]?.highlight).toBe('<mark>Dell</mark> <mark>XPS</mark> 13')
        const scores = (await index.products.search({ q: 'iphone', limit: 50 })).map((hit) => hit.score)
        expect(scores).toEqual(scores.toSorted((a, b) => b - a))
      })

      it('keeps the newer version of a product, and fences a batch that comes twice', async () => {
        const product = { ...(searchCatalogue[0] as ProductDocument), sku: 'NEW-1', name: 'Zeppelin Gramophone' }
        const cheaper = { ...product, price: { amount: 1, currency: 'EUR' } }
        const place = (await index.products.checkpoint('product_search', 0)).position
        const second = batch(place, place + 10n, [{ version: 1_000n, document: cheaper }])
        expect(await index.products.applyBatch(second)).toBe('applied')
        expect(await index.products.applyBatch(second)).toBe('fenced')
        const late = batch(place + 10n, place + 20n, [{ version: 999n, document: product }])
        expect(await index.products.applyBatch(late)).toBe('applied')
        expect(await index.products.load(['NEW-1', 'NONE'])).toEqual(
          new Map([['NEW-1', { version: 1_000n, document: cheaper }]]),
        )
        await opened.refresh?.()
        const [hit] = await index.products.search({ q: 'gramophone', limit: 1 })
        expect(hit?.document.price.amount).toBe(1)
        expect(await index.products.checkpoint('product_search', 0)).toEqual({
          position: place + 20n,
          logIdentity: identity,
        })
      })
    })

    describe('orders', () => {
      const consumer = 'order_search'
      const scanned = async (pick?: { ids: readonly string[]; random: number }) => {
        const documents = new Map<string, Omit<ScannedDocument<OrderDocument>, 'id'>>()
        const stood = new Set<string>()
        await index.orders.scan(
          consumer,
          async (portion) => {
            stood.add(portion.checkpoints.map((at) => `${at.partition} ${at.position}`).join())
            for (const { id, ...document } of portion.documents) documents.set(id, document)
          },
          pick,
        )
        return { documents, stood: [...stood] }
      }

      it('shows every document, or those that are picked, with its version and where the consumer stood', async () => {
        const orders = Array.from({ length: 1_203 }, (_, n) => order(n + 1))
        await write(orders)
        const { documents, stood } = await scanned()
        expect(stood).toEqual(['0 1'])
        expect(documents).toEqual(
          new Map(orders.map((document) => [document.orderId, { version: 1n, document, spoiled: [] }])),
        )
        const picked = await scanned({ ids: [orderId(7), orderId(999_999)], random: 0 })
        expect([...picked.documents.keys()]).toEqual([orderId(7)])
        const some = await scanned({ ids: [], random: 5 })
        expect(some.documents.size).toBeGreaterThan(0)
        expect(some.documents.size).toBeLessThan(50)
      })

      it('puts documents right, also in the same version, and removes what should not be there', async () => {
        await write([order(1, { carrier: 'wrong' }), order(2), order(3)])
        await index.orders.amend(consumer, [orderId(1), orderId(2), orderId(4)], async (standing) => {
          expect(standing.checkpoints).toMatchObject([{ partition: 0, position: 1n }])
          return [
            { version: 1n, document: order(1) },
            { version: 1n, document: order(4) },
          ]
        })
        expect(await index.orders.load([1, 2, 3, 4].map(orderId))).toEqual(
          new Map([1, 3, 4].map((n) => [orderId(n), { version: 1n, document: order(n) }])),
        )
        // What was removed can be put back as it was.
        await index.orders.amend(consumer, [orderId(2)], async () => [{ version: 1n, document: order(2) }])
        expect((await scanned()).documents.size).toBe(4)
        expect(await found(orderId(2))).toEqual([orderId(2)])
      })
      let position = 0n
      beforeEach(async () => {
        await index.orders.reset(consumer)
        position = 0n
      })
      const write = async (
        documents: readonly OrderDocument[],
        over: { version?: bigint; erasures?: readonly { customerId: string; keyIds: readonly string[] }[] } = {},
      ): Promise<void> => {
        const { version = position + 1n, erasures = [] } = over
        const upserts = documents.map((document) => ({ version, document }))
        const batch = { consumer, partition: 0, from: position, to: position + 1n, upserts, erasures }
        expect(await index.orders.applyBatch(batch)).toBe('applied')
        position += 1n
        await opened.refresh?.()
      }
      const found = async (q: string): Promise<string[]> =>
        (await index.orders.search({ q, limit: 20 })).map((hit) => hit.id)

      it('finds an order by its id, the beginning of it, its tracking id and its customer', async () => {
        await write([order(1), order(2, { trackingId: 'TRK-99-ÄB', carrier: 'DHL' }), order(3), order(12345678)])
        expect(await found(orderId(1))).toEqual([orderId(1)])
        expect(await found('12345678-0000')).toEqual([orderId(12345678)])
        expect(await found('12345')).toEqual([orderId(12345678)])
        expect(await found('trk-99-äb')).toEqual([orderId(2)])
        expect(await found('dhl')).toEqual([orderId(2)])
        expect(await found('customer-3')).toEqual([orderId(3)])
      })

      it('finds an order by the name and e-mail of its customer, typos and accents forgiven', async () => {
        await write([
          order(1, person(1, 'Zoë Johnson', 'zoe.j@example.org')),
          order(2, person(2, "Mary O'Brien", 'mary@mail.example')),
          order(3, person(3, 'Jürgen Schmidt', 'js@firma.example')),
        ])
        expect(await found('johnson')).toEqual([orderId(1)])
        expect(await found('zoe johnson')).toEqual([orderId(1)])
        expect(await found('jonson')).toEqual([orderId(1)])
        expect(await found('jhonson')).toEqual([orderId(1)])
        expect(await found("o'brien")).toEqual([orderId(2)])
        expect(await found('obrien mary')).toEqual([orderId(2)])
        expect(await found('schmitt')).toEqual([orderId(3)])
        expect(await found('jurgen')).toEqual([orderId(3)])
        expect(await found('ZOE.J@example.org')).toEqual([orderId(1)])
        expect(await found('zoe.j')).toEqual([orderId(1)])
        expect(await found('"mary obrien"')).toEqual([orderId(2)])
        expect(await found('mary johnson')).toEqual([])
      })

      it('finds orders by product, SKU and status, and by both together; the newest first', async () => {
        const galaxy = { lines: [{ sku: 'SGS24-256', name: 'Samsung Galaxy S24', quantity: 2 }] }
        await write([order(1, galaxy), order(2, { status: 'shipped' }), order(3, { ...galaxy, status: 'shipped' })])
        expect(await found('galaxy')).toEqual([orderId(3), orderId(1)])
        expect(await found('galxy')).toEqual([orderId(3), orderId(1)])
        expect(await found('sgs24-256')).toEqual([orderId(3), orderId(1)])
        expect(await found('shipped')).toEqual([orderId(3), orderId(2)])
        expect(await found('shipped galaxy')).toEqual([orderId(3)])
        expect(await found('cancelled')).toEqual([])
      })

      it('ranks an id above a person, and a person above a product', async () => {
        await write([
          order(1, person(1, 'Lenovo Fan', 'fan@example.org')),
          order(2, { customerId: 'lenovo' }),
          order(3, { lines: [{ sku: 'TPX1', name: 'Lenovo ThinkPad', quantity: 1 }] }),
        ])
        expect(await found('lenovo')).toEqual([orderId(2), orderId(1), orderId(3)])
      })

      it('finds nothing for nonsense, and takes no text for a pattern', async () => {
        await write([order(1), order(2)])
        for (const q of ['xyzzy', '%', '_', '% _', '\\', "'; drop table orders; --", '"', '!!!'])
          expect(await found(q), q).toEqual([])
      })

      it('returns the document with the name of the customer marked', async () => {
        await write([order(1, person(1, 'Ada <b>', 'ada@example.org'))])
        const [hit] = await index.orders.search({ q: 'ada', limit: 1 })
        expect(hit?.document).toEqual(order(1, person(1, 'Ada <b>', 'ada@example.org')))
        expect(hit?.highlight).toBe('<mark>Ada</mark> &#60;b&#62;')
      })

      it('keeps the newer version of an order', async () => {
        await write([order(1, { status: 'shipped' })], { version: 50n })
        await write([order(1)], { version: 49n })
        expect((await index.orders.load([orderId(1)])).get(orderId(1))).toEqual({
          version: 50n,
          document: order(1, { status: 'shipped' }),
        })
      })

      it('applies a batch once, even when several write it at the same time', async () => {
        const upserts = [{ version: 1n, document: order(1) }]
        const batch = { consumer, partition: 0, from: 0n, to: 1n, upserts, erasures: [] }
        const outcomes = await Promise.all(Array.from({ length: 6 }, () => index.orders.applyBatch(batch)))
        expect(outcomes.filter((outcome) => outcome === 'applied')).toHaveLength(1)
        expect((await index.orders.checkpoint(consumer, 0)).position).toBe(1n)
      })

      it('erases a person from every order under the destroyed keys and from no other', async () => {
        const ada = (n: number, keyId: string) =>
          order(n, { customerId: 'ada', person: { keyId, name: 'Ada Lovelace', email: 'ada@example.org' } })
        await write([ada(1, key(1)), ada(2, key(2)), order(3)])
        await write([], { erasures: [{ customerId: 'ada', keyIds: [key(1)] }] })
        expect(await found('lovelace')).toEqual([orderId(2)])
        expect(await found('ada@example.org')).toEqual([orderId(2)])
        expect((await index.orders.load([orderId(1)])).get(orderId(1))?.document.person).toBeNull()
        expect(await found('customer-3')).toEqual([orderId(3)])
        expect(await found(orderId(1))).toEqual([orderId(1)])
      })

      it('never gets a person back that a late or repeated document still carries', async () => {
        await write([order(1)], { erasures: [{ customerId: 'customer-1', keyIds: [key(1), key(2)] }] })
        await write([order(1, { status: 'shipped' }), order(2)], { version: 60n })
        const loaded = await index.orders.load([orderId(1), orderId(2)])
        expect([...loaded.values()].map((one) => one.document.person)).toEqual([null, null])
        expect(await found('somebody')).toEqual([])
      })

      it('erases also what is being written at the same moment by another partition', async () => {
        const people = Array.from({ length: 20 }, (_, n) => order(n))
        await Promise.all(
          people.flatMap((document, n) => {
            const place = { consumer, from: 0n, to: 1n }
            const erasures = [{ customerId: document.customerId, keyIds: [key(n)] }]
            return [
              index.orders.applyBatch({
                ...place,
                partition: 2 * n,
                upserts: [{ version: 1n, document }],
                erasures: [],
              }),
              index.orders.applyBatch({ ...place, partition: 2 * n + 1, upserts: [], erasures }),
            ]
          }),
        )
        const loaded = await index.orders.load(people.map((document) => document.orderId))
        expect([...loaded.values()].filter((one) => one.document.person !== null)).toEqual([])
        expect(loaded.size).toBe(20)
      })
    })
  })
}
