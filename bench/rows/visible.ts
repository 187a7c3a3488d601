import { setTimeout as pause } from 'node:timers/promises'
import type { Bench, Contender, Row, Side } from '../contender.ts'
import { engines, ownNamespace } from '../engines.ts'
import { type OursWhole, openWholePlatform } from '../ours-platform.ts'
import { askAgainMs, type Watched, watchedCommands } from '../visible-commands.ts'

const commandsPerSecond = 20
const samples = 300

/** Sends the commands at a steady rate, one kind after the other, each somewhere within its turn; none waits for another. */
const run = async ({ platform }: OursWhole, watched: readonly Watched[], count: number) => {
  const perModel = Math.ceil(count / watched.length)
  for (const { prepare } of watched) await prepare?.(perModel)
  if (!(await platform.caughtUp(60_000))) throw new Error('the read models did not catch up')
  const latenciesMs: number[] = []
  const partsMs = new Map(watched.map(({ name }) => [name, [] as number[]]))
  const sending: Promise<void>[] = []
  const begun = performance.now()
  const turnMs = 1_000 / commandsPerSecond
  const once = async ({ name, send }: Watched): Promise<void> => {
    const start = performance.now()
    const visible = await send()
    latenciesMs.push(performance.now() - start)
    await visible()
    partsMs.get(name)?.push(performance.now() - start)
  }
  for (let sample = 0; sample < perModel; sample += 1)
    for (const [index, one] of watched.entries()) {
      // Never in step with a timer of the platform.
      const due = (sample * watched.length + index + Math.random()) * turnMs
      await pause(Math.max(0, begun + due - performance.now()))
      const sent = once(one)
      sent.catch(() => undefined)
      sending.push(sent)
    }
  await Promise.all(sending)
  return { done: sending.length, seconds: (performance.now() - begun) / 1_000, latenciesMs, partsMs }
}

const open =
  (variables: Readonly<Record<string, string>>) =>
  async (bench: Bench): Promise<Side> => {
    const { namespace, forget } = ownNamespace()
    const whole = await openWholePlatform(bench, { ...variables, ORDERLOG_NAMESPACE: namespace })
    const { watched, close } = await watchedCommands(whole)
    const serving = Object.entries(whole.platform.engines).map(([role, engine]) => `${role}: ${engine}`)
    return {
      run: async (count) => ({ ...(await run(whole, watched, count)), note: serving.join(', ') }),
      close: async () => {
        await close()
        await whole.close()
        await forget(variables)
      },
    }
  }

const models = 10

const visible = (name: string, where: string, variables: Readonly<Record<string, string>>): Row => {
  const ours: Contender = { count: samples * models, warmUp: 20 * models, rounds: 1, open: open(variables) }
  return {
    name,
    unit: 'commands/s',
    compares:
      `the whole platform in one process, ${where}: ${commandsPerSecond} commands a second over HTTP, in turns one kind ` +
      `for each read model, ${samples} samples each. p50/p99 in the first line: from the request to its acknowledgement; ` +
      `below it: from the request to the first answer that shows the effect, asked for again ${askAgainMs} ms after each ` +
      'answer. No peer.',
    ours,
  }
}

export const visibleOnPostgres: Row = visible('visible-20', 'all on PostgreSQL', {})

export const visibleOnEngines: Row = {
  ...visible('visible-20-engines', `with ${Object.keys(engines).join(', ')} set`, engines),
  skipped: Object.keys(engines).length > 0 ? undefined : 'KAFKA_BROKERS, REDIS_URL and ELASTICSEARCH_URL are unset',
}
