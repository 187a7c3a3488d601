// The compiler copies no SQL: each .sql file goes beside its compiled neighbours, where import.meta.url finds it. By a rename,
// so that a program that starts meanwhile never reads half of one.
import { cpSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'

for (const room of ['platform', 'projections', 'sagas', 'write-side'])
  for (const file of readdirSync(room, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('.sql')) {
      const target = join('dist', room, file)
      cpSync(join(room, file), `${target}.new${process.pid}`)
      renameSync(`${target}.new${process.pid}`, target)
    }
