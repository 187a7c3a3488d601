import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errors, problemOf } from './errors.ts'

const documented = [
  ...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| <a id="([a-z-]+)"><\/a>`\1` \| (\d{3}) \| (.+) \|$/gm),
]

test('docs/errors.md lists every error with its status and sentence, and no other', () => {
  expect(documented.map(([, code, status, title]) => `${code} ${status} ${title}`)).toEqual(
    Object.entries(errors).map(([code, { status, title }]) => `${code} ${status} ${title}`),
  )
})

test('a problem document names its row of the table and carries the particulars', () => {
  expect(problemOf('out-of-stock', { sku: 'A', available: 2 })).toEqual({
    type: '/docs/errors#out-of-stock',
    title: 'There is not enough stock available.',
    status: 409,
    code: 'out-of-stock',
    sku: 'A',
    available: 2,
  })
})
