#!/usr/bin/env node
import { Command, InvalidArgumentError } from 'commander'
import type * as parkedCommands from './cli/parked.ts'
import { addRebuildCommands } from './cli/rebuild-commands.ts'
import type { VerifyCommand } from './cli/verify.ts'
import { type Role, roles } from './config.ts'
import { StartupError } from './failures.ts'

// What a command needs is loaded when it is given: the platform takes more than a second, and most commands only ask one.

const wholeNumber = (text: string): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number from 1 up.')
  return value
}

const position = (text: string): bigint => {
  if (!/^(0|[1-9][0-9]{0,17})$/.test(text)) throw new InvalidArgumentError('It must be a position, a whole number.')
  return BigInt(text)
}

const address = (text: string): string => {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw new InvalidArgumentError('It must be an address such as http://127.0.0.1:3000.')
  return new URL(text).origin
}

const role = (text: string, before: readonly Role[] | undefined): readonly Role[] => {
  const found = roles.find((known) => known === text)
  if (!found) throw new InvalidArgumentError(`It must be one of ${roles.join(', ')}.`)
  return [...(before ?? []), found]
}

const program = new Command('orderlog')
  .description(
    'Event-sourced CQRS order platform. Every order, payment and stock movement is a fact in an append-only log.',
  )
  .configureHelp({ showGlobalOptions: true })
  .addHelpText('after', '\nConfiguration is read from environment variables: see docs/configuration.md.')
  .showHelpAfterError('(orderlog --help shows what there is)')

program
  .command('start')
  .description('run the platform, or only the named roles, until SIGTERM or Ctrl-C')
  .argument(
    '[role...]',
    `any of ${roles.join(', ')}; all of them when none is named (relay: with KAFKA_BROKERS only)`,
    role,
  )
  .action(async (chosen: readonly Role[] | undefined) => (await import('./cli/start.ts')).start(chosen))

program
  .command('demo')
  .description('run the platform with a small shop on it, and audit the books at the end')
  .option('--orders <n>', 'stop after so many orders (default: go on until Ctrl-C)', wholeNumber)
  .option('--rate <n>', 'shoppers per second (default: 20, or 60 with --orders)', wholeNumber)
  .option('--json', 'print one JSON summary as the last line, and no pictures')
  .option('--url <address>', 'send the shoppers to the platform that runs there, on the same engines', address)
  .action(async (options: { orders?: number; rate?: number; json?: boolean; url?: string }) =>
    (await import('./cli/demo.ts')).demo(options),
  )

program
  .command('migrate')
  .description('bring the database schema up to date and exit')
  .action(async () => (await import('./cli/migrate.ts')).migrateDatabase())

program
  .command('status')
  .description('ask the running platform how it is')
  .option('--json', 'print the answers as JSON')
  .action(async (options: { json?: boolean }) => (await import('./cli/status.ts')).status(options))

const loadParked = () => import('./cli/parked.ts')
const parked = program
  .command('parked')
  .description('events that a projection could not apply, and what to do about them')

parked
  .command('list')
  .description('what is parked, or what was decided about it')
  .option('--projection <name>', 'only of this projection')
  .option('--status <status>', 'parked (default), failed, behind, edited or discarded')
  .option('--limit <n>', 'at most so many (default: 50)', wholeNumber)
  .option('--json', 'print the answer as JSON')
  .action(async (...given: Parameters<typeof parkedCommands.listParked>) => (await loadParked()).listParked(...given))

/** A command about one parked event, or about all those of a stream. */
const aboutParked = (name: string, description: string, ...rest: readonly string[]): Command => {
  const command = parked.command(name).description(description).argument('<projection>').argument('<stream>')
  for (const argument of rest) command.argument(argument)
  return command.option('--json', 'print the answer as JSON')
}
const byOperator = (command: Command): Command =>
  command
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--operator <name>', 'who decides it (default: the user of this session)')

aboutParked('show', 'everything about one event', '<revision>').action(
  async (...given: Parameters<typeof parkedCommands.showParked>) => (await loadParked()).showParked(...given),
)
byOperator(aboutParked('retry', "apply a stream's parked events in order, until one fails again")).action(
  async (...given: Parameters<typeof parkedCommands.retryParked>) => (await loadParked()).retryParked(...given),
)
byOperator(aboutParked('edit', 'apply something else in the place of an event; the log stays as it is', '<revision>'))
  .requiredOption('--data <json>', 'the whole data of the replacement; @file or - reads it')
  .option('--type <name>', 'the stored name that it is written in (default: the newest version)')
  .action(async (...given: Parameters<typeof parkedCommands.editParked>) => (await loadParked()).editParked(...given))
byOperator(aboutParked('discard', 'go without an event, for good; there will be a gap', '<revision>')).action(
  async (...given: Parameters<typeof parkedCommands.discardParked>) => (await loadParked()).discardParked(...given),
)

addRebuildCommands(program)

program
  .command('verify')
  .description('compare read models with the log; exit code 1 when one differs')
  .argument('[projection]', 'default: every one')
  .option('--sample <n>', 'so many rows and streams at random instead of all', wholeNumber)
  .option('--at <position>', 'as of this position of the log', position)
  .option('--repair', 'put right what differs, and verify it again')
  .option('--operator <name>', 'who repairs (default: who is logged in here)')
  .option('--reason <text>', 'why')
  .option('--json', 'print the reports as JSON')
  .action(async (projection: string | undefined, options: VerifyCommand) =>
    (await import('./cli/verify.ts')).verify(projection, options),
  )

program
  .command('forget')
  .description("destroy the key of a customer's personal data, for ever")
  .argument('<customer>', 'the id of the customer')
  .action(async (customer: string) => (await import('./cli/forget.ts')).forget(customer))

program
  .command('export')
  .description('write the log to standard output, one event a line')
  .option('--from <position>', 'only what comes after this position, the last one that you have', position)
  .action(async (options: { from?: bigint }) => (await import('./cli/export.ts')).exportEvents(options))

program
  .command('import')
  .description('write an exported log into an empty one, or one that it continues')
  .argument('[file]', 'what "orderlog export" wrote (default: standard input)')
  .option('--allow-unknown', 'take events whose names this version does not know')
  .option('--accept-truncated', 'take a file that was cut off as far as its whole lines go')
  .action(async (file: string | undefined, options: { allowUnknown?: boolean; acceptTruncated?: boolean }) =>
    (await import('./cli/import.ts')).importEvents(file, options),
  )

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof StartupError)) throw error
  console.error(`orderlog: ${error.message}`)
  process.exitCode = 1
}
