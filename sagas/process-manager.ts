import { setMaxListeners } from 'node:events'
import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/database.ts'
import type { EventFeed } from '../platform/event-feed.ts'
import type { EventStore } from '../platform/event-store.ts'
import { LogWentBack } from '../platform/failures.ts'
import type { Logger } from '../platform/logging.ts'
import type { Metrics } from '../platform/metrics.ts'
import { pause } from '../platform/pause.ts'
import { createAdvance } from './advance.ts'
import { type Checkpoints, createCheckpoints } from './checkpoint.ts'
import { createInstanceWorker } from './instance-worker.ts'
import { createInstances } from './instances.ts'
import { type CommandDoor, createIssueStep } from './issue-step.ts'
import { createLanes } from './lanes.ts'
import { defaultProcessManagerConfig, type ProcessManagerConfig } from './process-manager-config.ts'
import { createRefundChecks } from './refund-checks.ts'
import { createSagaTables, type SagaTables } from './tables.ts'
import { createTimers } from './timers.ts'
import { createTriggerReader } from './trigger-reader.ts'
import type { Work } from './work.ts'

export interface FulfilmentProcessManager {
  /**
   * Leads orders until the signal aborts, then drains for `drainMs` at most.
   *
   * @throws StartupError when its checkpoint is of another log or beyond the end of this one; LogWentBack, at once, when
   * what it was triggered by is no longer in the log
   */
  run(signal: AbortSignal): Promise<void>
  /** Fires the timers that are due now, as `run` does by itself; returns how many. */
  fireDue(): Promise<number>
  status(): {
    readonly position: bigint
    readonly busy: number
    /** Why it does not go on: only newer code can. */
    readonly waiting?: string
  }
}

/**
 * The runtime of the order-fulfilment saga: feed and timers in, commands out.
 *
 * A trigger is finished when its instance rests and everything about it is stored; the checkpoint is the low-water mark
 * of finished triggers. So whatever instant a crash picks, every instance that was not at rest has an unfinished trigger
 * or a stored timer, and is taken up again.
 */
export const createFulfilmentProcessManager = (deps: {
  readonly feed: EventFeed
  readonly store: EventStore
  readonly commands: CommandDoor
  readonly database: Database
  readonly clock: Clock
  readonly config?: Partial<ProcessManagerConfig>
  readonly logger: Logger
  readonly metrics: Metrics
  /** Why it must not go on, as it is ahead of a log that was put back; see `LogGuard`. */
  readonly ahead?: ((consumer: string) => Promise<string | undefined>) | undefined
  /** Only tests put others in their place. */
  readonly tables?: SagaTables
  readonly checkpoints?: Checkpoints
}): FulfilmentProcessManager => {
  const { feed, store, commands, clock, logger, metrics } = deps
  const config = { ...defaultProcessManagerConfig, ...deps.config }
  const stored = deps.tables ?? createSagaTables(deps.database)
  const checkpoints = deps.checkpoints ?? createCheckpoints({ database: deps.database, log: store, ahead: deps.ahead })
  const stopping = new AbortController()
  // Every order that waits for a store listens to it.
  setMaxListeners(0, stopping.signal)
  const tables: SagaTables = {
    ...stored,
    save: async (row) => {
      await stored.save(row)
      for (const { dueAt } of row.timers) timers.expect(dueAt)
    },
  }
  const instances = createInstances({ store, capacity: 20_000 })
  const issue = createIssueStep({ commands, store, clock, logger, metrics, stepTimeoutMs: config.stepTimeoutMs })
  const advance = createAdvance({ instances, issue, tables, store, clock, logger, config })
  const refunds = createRefundChecks({
    ...{ store, commands, tables, clock, logger, refundCheckMs: config.refundCheckMs },
    expect: (dueAt) => timers.expect(dueAt),
  })

  const worker = createInstanceWorker({
    ...{ advance, refunds, instances, tables: stored, clock, logger, config },
    expect: (dueAt) => timers.expect(dueAt),
    signal: stopping.signal,
  })
  const lanes = createLanes<Work>({ concurrency: config.concurrency, handle: worker.serve })

  const firing = new Set<string>()
  const timers = createTimers({
    ...{ tables, clock, logger },
    fire: ({ orderId, name }) => {
      // One that takes longer than its claim lasts is claimed again.
      const key = `${orderId} ${name}`
      if (firing.has(key)) return
      firing.add(key)
      const done = () => void firing.delete(key)
      const [kind, refund] = name.split(':')
      if (kind === 'refund' && refund) lanes.add(orderId, { refund, done })
      else lanes.add(orderId, { trigger: { type: 'Nudge' }, fresh: true, done })
    },
    room: () => config.readAhead - firing.size,
  })

  const reader = createTriggerReader({
    ...{ feed, checkpoints, tables: stored, config, logger, metrics },
    add: lanes.add,
    leaveAside: worker.leaveAside,
  })

  return {
    fireDue: timers.fireDue,
    status: () => ({
      position: reader.position(),
      busy: lanes.busy,
      ...(reader.waiting() === undefined ? {} : { waiting: reader.waiting() }),
    }),
    run: async (signal) => {
      const over = new AbortController()
      const ended = AbortSignal.any([signal, over.signal])
      const helpers = [timers.run(ended), reader.keepCheckpoints(ended)]
      let putBack = false
      try {
        await reader.read(signal)
      } catch (error) {
        putBack = error instanceof LogWentBack
        throw error
      } finally {
        over.abort()
        const timer = new AbortController()
        // What never happened leads to no command, and to no checkpoint.
        if (putBack) timer.abort()
        // Nothing new is begun after the drain; what is under way then is taken up from the checkpoint.
        await Promise.race([lanes.idle(), pause(config.drainMs, timer.signal)])
        timer.abort()
        stopping.abort()
        await Promise.all(helpers)
        if (!putBack)
          await reader
            .saveCheckpoints()
            .catch((error: unknown) => logger.warn({ error: String(error) }, 'no checkpoint saved'))
      }
    },
  }
}
