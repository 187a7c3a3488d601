import type { ProjectionView, RebuildPlanView, RebuildView } from '../../schemas/views.ts'
import { StartupError } from '../failures.ts'
import { type AskedOptions, answering, askedBy, createPlatformClient, type PlatformClient } from './platform-client.ts'
import { followRebuilds } from './rebuild-follow.ts'
import { createProgressDisplay, noProgress } from './rebuild-progress.ts'
import { goesOn, outcomeOf, planText } from './rebuild-text.ts'

export interface RebuildOptions extends AskedOptions {
  readonly all?: boolean
  readonly stale?: boolean
  readonly dryRun?: boolean
  readonly detach?: boolean
  readonly follow?: boolean
  readonly cancel?: boolean
  readonly resume?: boolean
  readonly sample?: number | 'all'
}

/** What programs that were ended by Ctrl-C end with: what should follow a rebuild does not follow one that goes on. */
const interrupted = 130

/** Follows rebuilds to their end, and says what came of them. Exit code 1 unless all of them are live. */
export const follow = async (
  client: PlatformClient,
  begun: readonly RebuildView[],
  { json = false }: { readonly json?: boolean },
): Promise<void> => {
  const stop = new AbortController()
  const stopLooking = () => stop.abort()
  // Only once each: a second Ctrl-C ends a command that hangs.
  process.once('SIGINT', stopLooking)
  process.once('SIGTERM', stopLooking)
  const display = json ? noProgress : createProgressDisplay(process.stdout)
  let ended: readonly RebuildView[]
  try {
    ended = await followRebuilds(client, begun, { display, stopping: stop.signal })
  } finally {
    display.end()
    process.off('SIGINT', stopLooking)
    process.off('SIGTERM', stopLooking)
  }
  const goOn = ended.some(({ state }) => state === 'running')
  if (json) console.log(JSON.stringify({ rebuilds: ended }))
  else {
    for (const rebuild of ended) console.log(outcomeOf(rebuild))
    if (goOn) console.log(goesOn(ended))
  }
  if (goOn) process.exitCode = interrupted
  else if (ended.some(({ state }) => state !== 'done')) process.exitCode = 1
}

/** Says what was begun, without waiting for it. */
export const tell = (rebuilds: readonly RebuildView[], { json }: { readonly json?: boolean }): void => {
  const running = rebuilds.some(({ state }) => state === 'running')
  const lines = [...rebuilds.map(outcomeOf), ...(running ? [goesOn(rebuilds)] : [])]
  console.log(json ? JSON.stringify({ rebuilds }) : lines.join('\n'))
}

/** What is wrong with what was asked for; undefined when nothing is. */
const mistake = (names: readonly string[], options: RebuildOptions): string | undefined => {
  const { all, stale, cancel, resume, follow: looking, dryRun } = options
  const sources = [names.length > 0, all, stale].filter(Boolean).length
  if (sources === 0) return 'Name a projection, or say --all or --stale ("orderlog projections" lists them).'
  if (sources > 1) return 'Name projections, or say --all, or say --stale: one of them.'
  const verbs = [cancel, resume, looking, dryRun].filter(Boolean).length
  if (verbs > 1) return 'Of --cancel, --resume, --follow and --dry-run say one.'
  if ((cancel || resume || looking) && names.length === 0)
    return '--cancel, --resume and --follow need the names of projections.'
  return undefined
}

const each = <T>(names: readonly string[], ask: (path: string) => Promise<T>): Promise<T[]> =>
  Promise.all(names.map((name) => ask(`/v1/projections/${encodeURIComponent(name)}`)))

/** Those that are under way, or were the last. */
const latest = async (client: PlatformClient, names: readonly string[]): Promise<readonly RebuildView[]> => {
  const views = await each(names, (path) => client.get<ProjectionView>(path))
  return views.map(({ name, rebuild: found }) => {
    if (found) return found
    throw new StartupError(`${name}: There is no rebuild of this projection.`)
  })
}

/** `orderlog rebuild`: through the platform at ORDERLOG_HOST:ORDERLOG_PORT. */
export const rebuild = async (names: readonly string[], options: RebuildOptions): Promise<void> => {
  const wrong = mistake(names, options)
  if (wrong !== undefined) throw new StartupError(wrong)
  const { all, stale, dryRun, detach, sample, json } = options
  const client = createPlatformClient()
  const asked = askedBy(options)
  await answering(options, async () => {
    if (options.follow) return follow(client, await latest(client, names), options)
    if (options.cancel) {
      const cancelled = await each(names, (path) => client.post<RebuildView>(`${path}/rebuild/cancel`, asked))
      if (cancelled.some(({ state }) => state !== 'cancelled')) process.exitCode = 1
      return tell(cancelled, options)
    }
    if (options.resume) {
      const resumed = await each(names, (path) => client.post<RebuildView>(`${path}/rebuild/resume`, asked))
      return detach ? tell(resumed, options) : follow(client, resumed, options)
    }
    const {
      plans,
      rebuilds = [],
      reset = [],
    } = await client.post<{
      plans?: readonly RebuildPlanView[]
      rebuilds?: readonly RebuildView[]
      reset?: readonly string[]
    }>('/v1/projections/rebuild', {
      ...asked,
      projections: all ? 'all' : stale ? 'stale' : [...new Set(names)],
      ...(sample === undefined ? {} : { sample }),
      ...(dryRun ? { dryRun } : {}),
    })
    if (!json) for (const consumer of reset) console.log(`${consumer} begins anew at the start of the log.`)
    const nothing = (plans ?? rebuilds).length === 0
    if (nothing && reset.length > 0 && !json) return
    if (nothing && !json) return console.log('Nothing is stale: there is nothing to rebuild.')
    if (plans) return console.log(json ? JSON.stringify({ plans }) : plans.map(planText).join('\n'))
    return detach || nothing ? tell(rebuilds, options) : follow(client, rebuilds, options)
  })
}
