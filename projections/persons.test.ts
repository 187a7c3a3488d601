import { expect, test } from 'vitest'
import type { Sealed } from '../schemas/primitives.ts'
import { ada } from '../test/support/order-events.ts'
import { createTestVault } from '../test/support/projection-rig.ts'
import { createPersons, type Persons } from './persons.ts'

const given = () => {
  const vault = createTestVault()
  const asked: string[] = []
  const open = (sealed: readonly Sealed[]) => {
    asked.push(...sealed.map(({ keyId }) => keyId))
    return vault.open(sealed)
  }
  return { vault, asked, persons: createPersons({ ...vault, open }) }
}

const openWith = async (persons: Persons, ...sealed: readonly Sealed[]) => {
  const personOf = await persons.open(sealed)
  return sealed.map(personOf)
}

test('what was opened ahead is not opened again; the rest is', async () => {
  const { vault, asked, persons } = given()
  const grace = { ...ada, name: 'Grace Hopper' }
  const [one, two, three] = [vault.seal('k1', ada), vault.seal('k2', grace), vault.seal('k3', ada)]
  persons.openAhead([two])
  expect(await openWith(persons, one, two, three)).toEqual([ada, grace, ada])
  expect(asked).toEqual(['k2', 'k1', 'k3'])
})

test('a key that is gone opens nothing', async () => {
  const { vault, persons } = given()
  const [adas, graces] = [vault.seal('k1', ada), vault.seal('k2', ada)]
  await vault.destroy(['k1'])
  persons.openAhead([adas])
  expect(await openWith(persons, adas, graces)).toEqual([null, ada])
})

test('what cannot be opened ahead fails when it is asked for, and keeps nobody else from being opened', async () => {
  const vault = createTestVault()
  const open = async (sealed: readonly Sealed[]) => {
    if (sealed.some(({ tag }) => tag === 'forged')) throw new Error('tampered with')
    return vault.open(sealed)
  }
  const persons = createPersons({ ...vault, open })
  const [adas, forged] = [vault.seal('k1', ada), { ...vault.seal('k2', ada), tag: 'forged' }]
  persons.openAhead([adas, forged])
  await expect(persons.open([adas, forged])).rejects.toThrow('tampered with')
  expect(await openWith(persons, adas)).toEqual([ada])
})

test('what is opened ahead may be opened early, the rest may not', async () => {
  const vault = createTestVault()
  const early: string[] = []
  const openEarly = (sealed: readonly Sealed[]) => {
    early.push(...sealed.map(({ keyId }) => keyId))
    return vault.open(sealed)
  }
  const persons = createPersons({ ...vault, openEarly })
  const [one, two] = [vault.seal('k1', ada), vault.seal('k2', ada)]
  persons.openAhead([two])
  expect(await openWith(persons, one, two)).toEqual([ada, ada])
  expect(early).toEqual(['k2'])
})
