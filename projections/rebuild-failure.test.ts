import { expect, test } from 'vitest'
import { CommandRejected } from '../schemas/errors.ts'
import { reasonOf } from './rebuild-failure.ts'

test('the reason of a refusal says what it is about', () => {
  const detail = 'this version has no read model sales'
  expect(reasonOf(new CommandRejected('nothing-to-rebuild', { detail }))).toMatch(
    /\. this version has no read model sales$/,
  )
  expect(reasonOf(new CommandRejected('nothing-to-rebuild', { projection: 'sales' }))).toMatch(/^[^.]+\.$/)
  expect(reasonOf(new TypeError('no'))).toBe('no')
})
