import { describe, expect, test } from 'vitest'
import { buildUpcastingTable, type Upcaster } from './upcasting.ts'

const step = (from: string, to: string): Upcaster => ({ from, to, upcast: (data) => ({ ...data, [to]: true }) })

test('a chain is walked from any version to the newest', () => {
  const table = buildUpcastingTable(['a.v3', 'b.v1'], [step('a.v1', 'a.v2'), step('a.v2', 'a.v3')])
  expect(table.get('a.v1')?.upcast({ x: 1 })).toEqual({ x: 1, 'a.v2': true, 'a.v3': true })
  expect(table.get('a.v2')?.upcast({ x: 1 })).toEqual({ x: 1, 'a.v3': true })
  expect(table.get('a.v3')?.upcast({ x: 1 })).toEqual({ x: 1 })
  expect([...table.keys()].toSorted()).toEqual(['a.v1', 'a.v2', 'a.v3', 'b.v1'])
})

describe('start-up fails', () => {
  test.each<[string, string[], Upcaster[], string]>([
    ['on two upcasters from one version', ['a.v2'], [step('a.v1', 'a.v2'), step('a.v1', 'a.v2')], 'duplicate upcaster'],
    ['on a gap in the chain', ['a.v3'], [step('a.v2', 'a.v3')], 'missing upcaster: nothing leads from "a.v1"'],
    ['on a missing chain', ['a.v2'], [], 'missing upcaster'],
    ['on a cycle', ['a.v2'], [step('a.v1', 'a.v2'), step('a.v2', 'a.v1')], 'cyclic upcaster'],
    ['on a step to itself', ['a.v2'], [step('a.v1', 'a.v1')], 'cyclic upcaster'],
    ['on a leap over a version', ['a.v3'], [step('a.v1', 'a.v3')], 'must lead to the next version'],
    [
      'on a step into another event',
      ['a.v2'],
      [step('a.v1', 'b.v2')],
      'must lead to the next version of the same event',
    ],
    ['on a step beyond the newest version', ['a.v1'], [step('a.v1', 'a.v2')], 'superfluous upcaster'],
    ['on a step that nobody reads', ['a.v1'], [step('z.v1', 'z.v2')], 'superfluous upcaster'],
    ['on a name without a version', ['a'], [], 'does not end in a version'],
    ['on a name that is written twice', ['a.v1', 'a.v1'], [], 'duplicate stored name'],
  ])('%s', (_, names, steps, message) => {
    expect(() => buildUpcastingTable(names, steps)).toThrow(message)
  })
})
