import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compoundsOf, fold, singular, stemsOf, swapsOf, typosAllowed, typosBetween, wordsOf } from './text-analysis.ts'

describe('text analysis', () => {
  it.each([
    ['Café CRÈME', 'cafe creme'],
    ['Ångström', 'angstrom'],
    ['Straße', 'strasse'],
    ['ŁÓDŹ, Ærø, İstanbul', 'lodz, aero, istanbul'],
    ['ﬁve Ⅷ ２', 'five viii 2'],
  ])('folds %s to %s', (text, folded) => {
    expect(fold(text)).toBe(folded)
  })

  it.each([
    ['chargers', 'charger'],
    ['cases', 'case'],
    ['batteries', 'battery'],
    ['boxes', 'box'],
    ['watches', 'watch'],
    ['brushes', 'brush'],
    ['glasses', 'glass'],
    ['shoes', 'shoe'],
    ['mice', 'mouse'],
    ['women', 'woman'],
    ['glass', 'glass'],
    ['bus', 'bus'],
    ['ps', 'ps'],
    ['ties', 'tie'],
    ['movies', 'movy'],
  ])('reduces %s to %s', (plural, stem) => {
    expect(singular(plural)).toBe(stem)
  })

  it.each([
    ['iPhone15Pro 256GB', ['iphone', '15', 'pro', '256', 'gb']],
    ["Women's boots, men’s laces", ['woman', 'boot', 'man', 'lace']],
    ["De'Longhi O'Brien", ['delonghi', 'obrien']],
    ['USB-C/USB_A & 4K', ['usb', 'c', 'usb', 'a', '4', 'k']],
    ['55" (1.7L)', ['55', '1', '7', 'l']],
    ['кафе 東京 ٣', ['кафе', '東京', '٣']],
    ['!!! <-> :* \' "', []],
  ])('reads the words of %s', (text, stems) => {
    expect(stemsOf(text)).toEqual(stems)
  })

  it('says where each word stands', () => {
    const text = 'Cafés: 2 für Zoë'
    expect(wordsOf(text).map(({ start, end }) => text.slice(start, end))).toEqual(['Cafés', '2', 'für', 'Zoë'])
  })

  it('joins neighbouring words, but no numbers', () => {
    expect(compoundsOf(['air', 'fryer', '5', 'xl'])).toEqual(['airfryer'])
  })

  it.each([
    ['ipone', 'iphone', 1],
    ['ihpone', 'iphone', 1],
    ['samsng', 'samsung', 1],
    ['phone', 'phone', 0],
    ['case', 'phone', 3],
    ['', 'ab', 2],
  ])('counts the typos between %s and %s', (a, b, typos) => {
    expect(typosBetween(a, b, 2)).toBe(typos)
  })

  it('forgives longer words more, and numbers nothing', () => {
    expect(['pro', 'phone', 'headphone', '1000', ''].map(typosAllowed)).toEqual([0, 1, 2, 0, 0])
  })

  it('makes every swap of neighbours a single typo', () => {
    expect(swapsOf('phone')).toEqual(['hpone', 'pohne', 'phnoe', 'phoen'])
    expect(swapsOf('pro')).toEqual([])
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{4,12}$/), (stem) =>
        swapsOf(stem).every((swapped) => typosBetween(swapped, stem, 2) === 1),
      ),
    )
  })

  it('yields nothing but letters and digits, and the same again when read again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const stems = stemsOf(text)
        for (const stem of stems) expect(stem).toMatch(/^[\p{L}\p{N}]+$/u)
        expect(stems.map(fold)).toEqual(stems)
      }),
    )
  })

  it('counts typos alike in both directions', () => {
    const word = fc.stringMatching(/^[a-d]{0,7}$/)
    fc.assert(fc.property(word, word, (a, b) => typosBetween(a, b, 9) === typosBetween(b, a, 9)))
  })
})
