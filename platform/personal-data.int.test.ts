import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { createPersonalDataVault, type PersonalDataVault } from './personal-data.ts'

let test: TestDatabase
let vault: PersonalDataVault

beforeAll(async () => {
  test = await openTestDatabase()
  vault = createPersonalDataVault(test.database)
})
afterAll(() => test.drop())

const personal = {
  name: 'Ada Lovelace',
  email: 'ada@example.org',
  address: { street: 'Main St 1', city: 'London', postalCode: 'N1', country: 'GB' },
}
const customer = () => `c-${randomUUID()}`

describe('the vault', () => {
  it('opens what it sealed, in order', async () => {
    const [one, other] = [customer(), customer()]
    const sealed = [await vault.seal(one, personal), await vault.seal(other, { ...personal, name: 'Zoë 🦊' })]
    expect(await vault.open(sealed)).toEqual([personal, { ...personal, name: 'Zoë 🦊' }])
    expect(await vault.open([])).toEqual([])
  })

  it('shows nothing in what it seals, and never the same twice', async () => {
    const id = customer()
    const [one, other] = [await vault.seal(id, personal), await vault.seal(id, personal)]
    expect(Buffer.from(one.ciphertext, 'base64').toString('latin1')).not.toContain('Ada')
    expect(one.ciphertext).not.toBe(other.ciphertext)
  })

  it('makes one key per customer, however many processes ask first', async () => {
    const id = customer()
    const vaults = Array.from({ length: 5 }, () => createPersonalDataVault(test.database))
    const sealed = await Promise.all(vaults.flatMap((one) => [one.seal(id, personal), one.seal(id, personal)]))
    expect(new Set(sealed.map(({ keyId }) => keyId)).size).toBe(1)
    expect(await vault.keysOf(id)).toEqual([sealed[0]?.keyId])
  })

  it('opens nothing any more once the key is destroyed, and nobody else’s', async () => {
    const [one, other] = [customer(), customer()]
    const sealed = [await vault.seal(one, personal), await vault.seal(other, personal)]
    await vault.destroy(await vault.keysOf(one))
    await vault.destroy([sealed[0]?.keyId ?? ''])
    expect(await vault.open(sealed)).toEqual([null, personal])
  })

  it('opens early by keys that it has kept, for as long as it does not know them destroyed', async () => {
    const [one, other] = [customer(), customer()]
    const sealed = [await vault.seal(one, personal), await vault.seal(other, personal)]
    expect(await vault.openEarly(sealed)).toEqual([personal, personal])
    // By another process, of which this one is not told.
    await createPersonalDataVault(test.database).destroy(await vault.keysOf(one))
    expect(await vault.openEarly(sealed)).toEqual([personal, personal])
    expect(await vault.open(sealed)).toEqual([null, personal])
    expect(await vault.gone(sealed.map(({ keyId }) => keyId))).toEqual(new Set([sealed[0]?.keyId]))
    await vault.destroy(await vault.keysOf(other))
    expect((await vault.openEarly(sealed))[1]).toBeNull()
  })

  it('keeps no key for longer than a moment', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const own = createPersonalDataVault(test.database)
      const sealed = [await vault.seal(customer(), personal)]
      await own.openEarly(sealed)
      await vault.destroy(sealed.map(({ keyId }) => keyId))
      expect(await own.openEarly(sealed)).toEqual([personal])
      vi.advanceTimersByTime(10_000)
      expect(await own.openEarly(sealed)).toEqual([null])
    } finally {
      vi.useRealTimers()
    }
  })

  it('tells which keys are gone', async () => {
    const [kept, destroyed] = [await vault.seal(customer(), personal), await vault.seal(customer(), personal)]
    await vault.destroy([destroyed.keyId])
    expect(await vault.gone([kept.keyId, destroyed.keyId])).toEqual(new Set([destroyed.keyId]))
    expect(await vault.gone([])).toEqual(new Set())
  })

  it('makes a new key for a customer who comes back', async () => {
    const id = customer()
    const before = await vault.seal(id, personal)
    await vault.destroy([before.keyId])
    const after = await vault.seal(id, personal)
    expect(after.keyId).not.toBe(before.keyId)
    expect(await vault.open([before, after])).toEqual([null, personal])
  })

  it('refuses what was tampered with', async () => {
    const sealed = await vault.seal(customer(), personal)
    const bytes = Buffer.from(sealed.ciphertext, 'base64')
    bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0)
    await expect(vault.open([{ ...sealed, ciphertext: bytes.toString('base64') }])).rejects.toThrow()
  })

  it('refuses what was moved under another customer’s key', async () => {
    const [mine, theirs] = [await vault.seal(customer(), personal), await vault.seal(customer(), personal)]
    await expect(vault.open([{ ...mine, keyId: theirs.keyId }])).rejects.toThrow()
  })
})
