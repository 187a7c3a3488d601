import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** What a module brings with it before it runs; types are not among it, nor what it imports later. */
const staticallyImported = (entry: URL, found = new Set<string>()): Set<string> => {
  const source = readFileSync(entry, 'utf8')
  for (const [, clause, specifier = ''] of source.matchAll(/^(?:import|export)\s([^'"]*?)from '([^']+)'$/gm)) {
    const names = clause?.match(/^\{(.*)\}\s*$/s)?.[1]
    const onlyTypes = clause?.startsWith('type ') || names?.split(',').every((name) => /^\s*(type\s|$)/.test(name))
    if (onlyTypes || found.has(specifier)) continue
    if (!specifier.startsWith('.')) {
      found.add(specifier)
      continue
    }
    const { pathname } = new URL(specifier, entry)
    if (found.has(pathname)) continue
    found.add(pathname)
    staticallyImported(new URL(`file://${pathname}`), found)
  }
  return found
}
const modulesOf = (entry: string): string[] => [...staticallyImported(new URL(entry, import.meta.url))]
const compilers = /typebox|ajv|fastify/

test('a thread that loads starts without what compiles schemas', () => {
  const modules = modulesOf('compose-rebuild-load.ts')
  expect(modules.some((module) => module.endsWith('/projections/order-row.ts'))).toBe(true)
  expect(modules.filter((module) => compilers.test(module))).toEqual([])
  // So would it be found.
  expect(modulesOf('../projections/erasure.ts').some((module) => compilers.test(module))).toBe(true)
})
