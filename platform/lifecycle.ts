import type { Logger } from './logging.ts'

/** What the last steps may take beyond the time for draining, milliseconds: that of the embedded PostgreSQL, and some. */
export const afterDrainMs = 30_000

interface Step {
  readonly name: string
  readonly stop: () => Promise<unknown> | unknown
  /** Milliseconds of its own, beyond the time for draining. */
  readonly withinMs?: number | undefined
}

/**
 * Undoes what was started, last first; what was started as one group is stopped at the same time. A step that fails or
 * takes too long is told of and does not keep the others from their turn.
 *
 * The whole takes about `drainMs`: no group may take more than half of it, so that one that hangs leaves the other half
 * to the next, and whoever comes when it is over has a second.
 */
export const createLifecycle = (logger: Logger, drainMs: number) => {
  const stages: { readonly group: string | undefined; readonly steps: Step[] }[] = []
  const leastMs = Math.min(1_000, drainMs)
  let stopping: Promise<void> | undefined

  const bounded = async ({ name, stop, withinMs }: Step, stageMs: number): Promise<void> => {
    const ms = withinMs ?? stageMs
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), ms)
    })
    try {
      const outcome = await Promise.race([Promise.resolve().then(stop), late])
      if (outcome === 'late') logger.warn(`${name} did not stop within ${Math.round(ms)} ms`)
    } catch (error) {
      logger.warn({ err: error }, `${name} did not stop cleanly`)
    } finally {
      clearTimeout(timer)
    }
  }

  const stopAll = async (): Promise<void> => {
    const deadline = performance.now() + drainMs
    for (const { steps } of stages.toReversed()) {
      const stageMs = Math.max(leastMs, Math.min(deadline - performance.now(), drainMs / 2))
      await Promise.all(steps.toReversed().map((step) => bounded(step, stageMs)))
    }
  }

  return {
    /**
     * Registers how to stop what was just started.
     *
     * @param options.group stopped together with its neighbours of this group
     * @param options.withinMs a bound of its own, that no haste of others shortens
     */
    onStop: (name: string, stop: Step['stop'], options: { group?: string; withinMs?: number } = {}): void => {
      const { group, withinMs } = options
      const step: Step = { name, stop, withinMs }
      const last = stages.at(-1)
      if (last && group !== undefined && last.group === group) last.steps.push(step)
      else stages.push({ group, steps: [step] })
    },
    /** Whether stopping has begun. */
    isStopping: () => stopping !== undefined,
    /** Repeatable; resolves when everything has had its turn. */
    stop: (): Promise<void> => {
      stopping ??= stopAll()
      return stopping
    },
  }
}

export type Lifecycle = ReturnType<typeof createLifecycle>
