import { setTimeout as sleep } from 'node:timers/promises'
import type { ProjectionView, RebuildView } from '../../schemas/views.ts'
import { StartupError } from '../failures.ts'
import { NoAnswer } from './ask.ts'
import { type PlatformClient, Refused } from './platform-client.ts'
import type { ProgressDisplay } from './rebuild-progress.ts'

const isAway = (error: unknown): boolean =>
  error instanceof NoAnswer || (error instanceof Refused && error.status >= 500)

/** Ours has ended when another one is told of; whether it was swapped in, its generation says. */
const endOf = (rebuild: RebuildView, { generation, generations, rebuild: latest }: ProjectionView): RebuildView => {
  if (latest?.run === rebuild.run) return latest
  const kept = generations.some((each) => each.generation === rebuild.generation && each.state === 'kept')
  const live = generation === rebuild.generation || kept
  return live ? { ...rebuild, state: 'done', phase: 'done', percent: 100 } : { ...rebuild, state: 'dropped' }
}

/**
 * Looks at rebuilds until none of them runs any longer, or until it is told to stop looking. A platform that is away
 * meanwhile is waited for.
 *
 * @param options.everyMs how often it looks
 * @param options.patienceMs how long the platform may be away
 * @returns them as they were seen last
 * @throws StartupError when the platform is away for longer
 */
export const followRebuilds = async (
  client: Pick<PlatformClient, 'get'>,
  begun: readonly RebuildView[],
  options: {
    readonly display: ProgressDisplay
    readonly stopping: AbortSignal
    readonly everyMs?: number
    readonly patienceMs?: number
  },
): Promise<readonly RebuildView[]> => {
  const { display, stopping, everyMs = 500, patienceMs = 180_000 } = options
  let seen = begun
  let answeredAt = performance.now()
  const look = (rebuild: RebuildView): Promise<RebuildView> =>
    rebuild.state === 'running'
      ? client.get<ProjectionView>(`/v1/projections/${rebuild.projection}`).then((view) => endOf(rebuild, view))
      : Promise.resolve(rebuild)

  while (!stopping.aborted && seen.some(({ state }) => state === 'running')) {
    try {
      seen = await Promise.all(seen.map(look))
      answeredAt = performance.now()
      display.show(seen)
    } catch (error) {
      if (!isAway(error)) throw error
      if (performance.now() - answeredAt > patienceMs) {
        const names = seen.map(({ projection }) => projection).join(' ')
        const seconds = Math.round(patienceMs / 1_000)
        throw new StartupError(
          `The platform has not answered for ${seconds} s. The rebuild goes on when it is back: look again with "orderlog rebuild ${names} --follow".`,
          { cause: error },
        )
      }
      display.show(seen, `the platform does not answer; waiting for it`)
    }
    if (seen.some(({ state }) => state === 'running'))
      await sleep(everyMs, undefined, { signal: stopping }).catch(() => undefined)
  }
  return seen
}
