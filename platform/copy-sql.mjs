// The compiler copies no SQL: each .sql file goes beside its compiled neighbours, where import.meta.url finds it.
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

for (const room of ['platform', 'projections', 'sagas', 'write-side'])
  for (const file of readdirSync(room, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('.sql')) cpSync(join(room, file), join('dist', room, file))
