import { type Command, InvalidArgumentError } from 'commander'
import type { AskedOptions } from './platform-client.ts'
import type { RebuildOptions } from './rebuild.ts'

const load = () => import('./projections.ts')

const sample = (text: string): number | 'all' => {
  if (text === 'all') return text
  if (!/^(0|[1-9][0-9]{0,8})$/.test(text)) throw new InvalidArgumentError('It must be a number of rows, or "all".')
  return Number(text)
}

const generation = (text: string): number => {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('It must be the number of a generation.')
  return Number(text)
}

const asked = (command: Command): Command =>
  command
    .option('--operator <name>', 'who asks (default: the user of the operating system)')
    .option('--reason <text>', 'why, for those who read the log')
    .option('--json', 'print the answer as JSON')

/** `orderlog rebuild` and `orderlog projections`. */
export const addRebuildCommands = (program: Command): void => {
  asked(
    program
      .command('rebuild')
      .description('build read models anew beside the live ones and swap them in; the running platform does it')
      .argument('[projection...]', 'their names; they read the log together')
      .option('--all', 'every read model')
      .option('--stale', 'those that are not of this version of the code or of this log')
      .option('--dry-run', 'only tell what would be read, what would come of it and how long it would take')
      .option('--sample <rows>', 'rows that are compared with the log before the swap, or "all"', sample)
      .option('--detach', 'do not wait for the end')
      .option('--follow', 'look on at a rebuild that is under way')
      .option('--cancel', 'let it stand where it is')
      .option('--resume', 'go on with one that was cancelled or has failed'),
  ).action(async (names: readonly string[], options: RebuildOptions) =>
    (await import('./rebuild.ts')).rebuild(names, options),
  )

  const projections = program.command('projections').description('read models and their generations')
  projections
    .command('list', { isDefault: true })
    .description('version, generation and lag of each, and what there is to be done')
    .option('--json', 'print the answer as JSON')
    .action(async (options: AskedOptions) => (await load()).listProjections(options))
  projections
    .command('generations')
    .description('what there is of one: the live generation, one that is built, those that are kept')
    .argument('<projection>')
    .option('--json', 'print the answer as JSON')
    .action(async (name: string, options: AskedOptions) => (await load()).listGenerations(name, options))
  asked(
    projections
      .command('swap-back')
      .description('make the generation live again that was live before')
      .argument('<projection>')
      .option('--detach', 'do not wait for the end'),
  ).action(async (name: string, options: AskedOptions & { detach?: boolean }) => (await load()).swapBack(name, options))
  asked(
    projections
      .command('drop')
      .description('remove a generation that is kept, or what a cancelled or failed rebuild has built')
      .argument('<projection>')
      .argument('<generation>', 'its number', generation),
  ).action(async (name: string, number: number, options: AskedOptions) =>
    (await load()).dropGeneration(name, number, options),
  )
}
