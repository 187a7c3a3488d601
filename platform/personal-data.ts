import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto'
import type { PersonalData, Sealed } from '../schemas/primitives.ts'
import { createBatcher } from './batcher.ts'
import type { Database, Statement } from './database.ts'

/**
 * Personal data is sealed with AES-256-GCM under a key per customer that lives beside the log and never in it. Destroying
 * the key erases the person from every copy of the log, of its read models and of its future replays.
 */
export interface PersonalDataVault {
  /** Seals under the customer's key, which is made on first use. Concurrent calls share a query. */
  seal(customerId: string, personal: PersonalData): Promise<Sealed>
  /**
   * In the order given; null where the key was destroyed. One query per call.
   *
   * @throws Error when something was tampered with
   */
  open(sealed: readonly Sealed[]): Promise<(PersonalData | null)[]>
  /**
   * The same by keys as they were up to ten seconds ago, which may have been destroyed since: only for those who will ask
   * for them once more.
   */
  openEarly(sealed: readonly Sealed[]): Promise<(PersonalData | null)[]>
  /** Which of these keys do not exist now. */
  gone(keyIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Ids of the keys that exist now. */
  keysOf(customerId: string): Promise<string[]>
  /** For ever. Keys that are gone already do not matter. */
  destroy(keyIds: readonly string[]): Promise<void>
}

interface Row {
  readonly key_id: string
  readonly customer_id: string
  readonly key: Buffer
}

/** A customer has one key; whoever comes second takes that of the first. */
const keysStatement: Statement = {
  name: 'customer_keys',
  text: `
    with made as (
      insert into log.customer_keys (key_id, customer_id, key)
      select * from unnest($1::uuid[], $2::text[], $3::bytea[])
      on conflict (customer_id) do nothing
      returning key_id, customer_id, key
    )
    select key_id, customer_id, key from made
    union all select key_id, customer_id, key from log.customer_keys where customer_id = any ($2::text[])`,
}
const openStatement: Statement = {
  name: 'customer_keys_by_id',
  text: 'select key_id, customer_id, key from log.customer_keys where key_id = any ($1::uuid[])',
}
const goneStatement: Statement = {
  name: 'customer_keys_gone',
  text: `select asked.key_id from unnest($1::uuid[]) as asked(key_id)
    where not exists (select from log.customer_keys k where k.key_id = asked.key_id)`,
}

/** Binds the ciphertext to its customer and key: moved to another order's customer, it does not open. */
const boundTo = ({ customer_id, key_id }: Row): Buffer => Buffer.from(`${customer_id}\n${key_id}`)

/** What opens what was sealed under a key. */
interface Key {
  readonly key: Buffer
  readonly aad: Buffer
}

const encrypt = (row: Row, personal: PersonalData): Sealed => {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', row.key, iv).setAAD(boundTo(row))
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(personal), 'utf8'), cipher.final()])
  return {
    keyId: row.key_id,
    iv: iv.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
    ciphertext: ciphertext.toString('base64'),
  }
}

const decrypt = ({ key, aad }: Key, sealed: Sealed): PersonalData => {
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(sealed.iv, 'base64'), { authTagLength: 16 })
    .setAAD(aad)
    .setAuthTag(Buffer.from(sealed.tag, 'base64'))
  // All of it comes at once in this mode; what is left to the end is the verdict on its tag.
  const text = decipher.update(Buffer.from(sealed.ciphertext, 'base64'))
  decipher.final()
  return JSON.parse(text.toString('utf8')) as PersonalData
}

/** How long a key is kept that may have been destroyed meanwhile, milliseconds. */
const keptForMs = 10_000
const maxKeptKeys = 10_000

/** Keys for a moment: none outlives it, whether or not anybody asks again. */
const createKeptKeys = () => {
  const kept = new Map<string, Key>()
  let clearing: NodeJS.Timeout | undefined
  const clear = (): void => {
    clearTimeout(clearing)
    clearing = undefined
    kept.clear()
  }
  return {
    get: (keyId: string) => kept.get(keyId),
    keep: (found: ReadonlyMap<string, Key>) => {
      if (kept.size + found.size > maxKeptKeys) clear()
      for (const [keyId, key] of found) kept.set(keyId, key)
      clearing ??= setTimeout(clear, keptForMs).unref()
    },
    forget: (keyIds: readonly string[]) => {
      for (const keyId of keyIds) kept.delete(keyId)
    },
  }
}

export const createPersonalDataVault = (database: Database): PersonalDataVault => {
  const keyOf = createBatcher<string, Row | undefined>({
    maxItems: 500,
    concurrency: 2,
    run: async (customerIds) => {
      const distinct = [...new Set(customerIds)]
      const ids = distinct.map(() => randomUUID())
      const keys = distinct.map(() => randomBytes(32))
      const rows = await database.execute<Row>(keysStatement, [ids, distinct, keys])
      const byCustomer = new Map(rows.map((row) => [row.customer_id, row]))
      return customerIds.map((customerId) => byCustomer.get(customerId))
    },
  })
  const keysOfIds = async (keyIds: readonly string[]): Promise<Map<string, Key>> => {
    if (keyIds.length === 0) return new Map()
    const rows = await database.execute<Row>(openStatement, [keyIds])
    return new Map(rows.map((row) => [row.key_id, { key: row.key, aad: boundTo(row) }]))
  }
  const kept = createKeptKeys()
  const openWith = (sealed: readonly Sealed[], keyOf: (keyId: string) => Key | undefined): (PersonalData | null)[] =>
    sealed.map((one) => {
      const key = keyOf(one.keyId)
      return key ? decrypt(key, one) : null
    })
  return {
    seal: async (customerId, personal) => {
      // A key that another process commits during the statement is seen by neither half of it, but by the next.
      const row = (await keyOf(customerId)) ?? (await keyOf(customerId))
      if (!row) throw new Error('the key of a customer was neither made nor found')
      return encrypt(row, personal)
    },
    open: async (sealed) => {
      const keys = await keysOfIds([...new Set(sealed.map(({ keyId }) => keyId))])
      return openWith(sealed, (keyId) => keys.get(keyId))
    },
    openEarly: async (sealed) => {
      const keys = new Map<string, Key | undefined>()
      for (const { keyId } of sealed) keys.set(keyId, kept.get(keyId))
      const found = await keysOfIds([...keys].flatMap(([keyId, key]) => (key ? [] : [keyId])))
      kept.keep(found)
      return openWith(sealed, (keyId) => keys.get(keyId) ?? found.get(keyId))
    },
    gone: async (keyIds) => {
      if (keyIds.length === 0) return new Set()
      const rows = await database.execute<Pick<Row, 'key_id'>>(goneStatement, [keyIds])
      return new Set(rows.map((row) => row.key_id))
    },
    keysOf: async (customerId) => {
      const rows = await database.query<Pick<Row, 'key_id'>>(
        'select key_id from log.customer_keys where customer_id = $1',
        [customerId],
      )
      return rows.map((row) => row.key_id)
    },
    destroy: async (keyIds) => {
      kept.forget(keyIds)
      await database.query('delete from log.customer_keys where key_id = any ($1::uuid[])', [keyIds])
    },
  }
}
