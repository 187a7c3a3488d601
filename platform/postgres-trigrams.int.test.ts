import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../test/support/postgres.ts'
import { StartupError } from './failures.ts'
import { createTrigramExtension } from './postgres-trigrams.ts'

let test: TestDatabase
const role = `orderlog_nobody_${process.pid}`
beforeAll(async () => {
  test = await openTestDatabase()
  await test.database.query(`create role ${role}`)
})
afterAll(async () => {
  await test?.database.query(`drop role ${role}`)
  await test?.drop()
})

it('says in one sentence that the user may not create the extension', async () => {
  const attempt = test.database.transaction(async (transaction) => {
    await transaction.query(`set local role ${role}`)
    await createTrigramExtension(transaction)
  })
  await expect(attempt).rejects.toThrow(StartupError)
  await expect(attempt).rejects.toThrow(/^The database user may not create the extension pg_trgm, [^\n]+\.$/)
})

it('is content with the extension that an administrator has created', async () => {
  await test.database.transaction(createTrigramExtension)
  await test.database.transaction(async (transaction) => {
    await transaction.query(`set local role ${role}`)
    await createTrigramExtension(transaction)
  })
})
