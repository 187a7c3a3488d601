import type { Leases } from '../platform/leases.ts'
import { backOffMs, pause } from '../platform/pause.ts'
import { reasonOf } from './rebuild-failure.ts'
import type { StoredRebuild } from './rebuild-records.ts'
import { createRebuildSteps, type RebuildStepDependencies } from './rebuild-steps.ts'

export interface RebuilderDependencies extends RebuildStepDependencies {
  readonly leases: Pick<Leases, 'acquire'>
  /** How often is looked for something to do, milliseconds. */
  readonly pollMs?: number
  /** How long a rebuild of another version is left alone, milliseconds. */
  readonly lookAgainMs?: number
}

/**
 * Does the rebuilds that were asked for: of each run one process has the lease; the others wait for it, and go on where it
 * stood when it dies. Those of one run go from phase to phase together, so that the log is read once.
 */
export const createRebuilder = (deps: RebuilderDependencies) => {
  const { records, leases, logger, pollMs = 500, lookAgainMs = 2_000 } = deps
  const advance = createRebuildSteps(deps)
  const versions = new Map(deps.projections.map(({ name, version }) => [name, version]))

  /** A generation is built by one version of the code. What was kept is swapped in as it stands, whoever has built it. */
  const isOurs = ({ projection, version, lanes, phase }: StoredRebuild): boolean =>
    versions.get(projection) === version || (lanes === 0 && phase === 'swapping' && versions.has(projection))

  const leave = async (rebuilds: readonly StoredRebuild[]): Promise<void> => {
    for (const rebuild of rebuilds) {
      const { projection, version } = rebuild
      const error = `begun by version ${version} of ${projection}, this code is ${versions.get(projection) ?? 'without it'}: it goes on where that version runs; or cancel and drop it`
      await records.progress(rebuild, { error })
    }
  }

  const execute = async (run: string, signal: AbortSignal): Promise<void> => {
    const lease = await leases.acquire(`rebuild/${run}`, signal)
    if (!lease) return
    const mine = AbortSignal.any([signal, lease.lost])
    try {
      for (let failures = 0; !mine.aborted; ) {
        const running = await records.running(run)
        const rebuilds = running.filter(isOurs)
        if (rebuilds.length === 0) return await leave(running)
        try {
          await advance(rebuilds, mine)
          failures = 0
        } catch (error) {
          if (mine.aborted) return
          const reason = reasonOf(error)
          logger.warn({ run, reason }, 'a rebuild waits')
          for (const rebuild of rebuilds) await records.progress(rebuild, { error: reason }).catch(() => undefined)
          await pause(backOffMs(failures), mine)
          failures += 1
        }
      }
    } finally {
      await lease.release()
    }
  }

  /** Those of another version are left to whoever has it, for a while at least. */
  const executeOrLeave = async (run: string, signal: AbortSignal): Promise<void> => {
    await execute(run, signal)
    if ((await records.running(run)).some((rebuild) => !isOurs(rebuild))) await pause(lookAgainMs, signal)
  }

  return {
    /** Until the signal aborts. Never rejects. */
    run: async (signal: AbortSignal): Promise<void> => {
      const executing = new Map<string, Promise<void>>()
      while (!signal.aborted) {
        // Who cannot be asked now is asked again.
        for (const run of await records.openRuns().catch(() => [])) {
          if (executing.has(run)) continue
          const work = executeOrLeave(run, signal)
            .catch((error: unknown) => logger.error({ err: error, run }, 'a rebuild broke off and is taken up again'))
            .finally(() => executing.delete(run))
          executing.set(run, work)
        }
        await pause(pollMs, signal)
      }
      await Promise.all(executing.values())
    },
  }
}
