import { writeFile } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import { StartupError } from '../platform/failures.ts'
import type { Row } from './contender.ts'
import { jsonOf, tableOf } from './report.ts'
import { rows } from './rows.ts'
import { type RowOutcome, runRow } from './run-row.ts'
import { connectServer, startServer } from './server.ts'

const chosen = (name: string, before: readonly Row[] | undefined): readonly Row[] => {
  const row = rows.find((candidate) => candidate.name === name)
  if (!row) throw new InvalidArgumentError(`There is no such row; there are ${rows.map((one) => one.name).join(', ')}.`)
  if (row.skipped !== undefined) throw new InvalidArgumentError(`It cannot be run: ${row.skipped}.`)
  return [...(before ?? []), row]
}

const program = new Command('bench')
  .description('Measures Orderlog beside Emmett and beside plain SQL on one PostgreSQL, in turns.')
  .argument('[row...]', 'only these rows', chosen, [])
  .option('--json <file>', 'also write the rows as JSON')
  .option('--database-url <url>', 'a PostgreSQL server to use instead of one of its own')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()

const options = program.opts<{ json?: string; databaseUrl?: string }>()
const named: readonly Row[] = program.processedArgs[0]

let interrupted = false

const bench = async (): Promise<void> => {
  const server = options.databaseUrl ? await connectServer(options.databaseUrl) : await startServer()
  let closing: Promise<void> | undefined
  const close = () => (closing ??= server.close())
  const interrupt = () => {
    interrupted = true
    void close().finally(() => process.exit(130))
  }
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  const outcomes: RowOutcome[] = []
  try {
    console.error(server.description)
    for (const row of named.length > 0 ? named : rows) {
      if (row.skipped !== undefined) {
        console.error(`${row.name}: left out, ${row.skipped}`)
        continue
      }
      console.error(`${row.name} ...`)
      outcomes.push(await runRow(row, server))
    }
  } finally {
    await close()
  }
  console.log(tableOf(outcomes))
  if (options.json) await writeFile(options.json, `${JSON.stringify(outcomes.flatMap(jsonOf), null, 2)}\n`)
}

await bench().catch((error: unknown) => {
  if (interrupted) return
  console.error(error instanceof StartupError ? error.message : error)
  process.exitCode = 1
})
