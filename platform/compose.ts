import type { Audit } from '../projections/audit.ts'
import type { ProjectorStatus } from '../projections/projector.ts'
import { registerLive } from '../read-api/live.ts'
import { registerReadApi } from '../read-api/routes.ts'
import { consumer as sagaConsumer } from '../sagas/checkpoint.ts'
import { registerSagaApi } from '../sagas/routes.ts'
import { createWatchdog } from '../sagas/watchdog.ts'
import { createCommandHandler } from '../write-side/command-handler.ts'
import { registerWriteApi } from '../write-side/routes.ts'
import { systemClock } from './clock.ts'
import { provideDatabase } from './compose-database.ts'
import { openEngines } from './compose-engines.ts'
import { composeLogGuard } from './compose-log-guard.ts'
import { composeReadModels } from './compose-read-models.ts'
import { rebuildThreads } from './compose-rebuild-threads.ts'
import { composeSaga } from './compose-saga.ts'
import type { Config, Role } from './config.ts'
import { StartupError } from './failures.ts'
import { createGuardedPaymentGateway } from './guarded-payment-gateway.ts'
import { type HealthCheck, registerHealth } from './health.ts'
import { createHttpServer, type HttpServer } from './http-server.ts'
import { createIdempotencyKeys } from './idempotency-keys.ts'
import { createLifecycle, type Lifecycle } from './lifecycle.ts'
import type { Logger } from './logging.ts'
import { createMetrics } from './metrics.ts'
import { createPersonalDataVault } from './personal-data.ts'
import { createPutBackRecords } from './put-back-records.ts'
import { createSimulatedPaymentGateway } from './simulated-payment-gateway.ts'
import { readSimulatedLedger } from './simulated-payment-ledger.ts'
import { createSnapshotStore } from './snapshots.ts'

/** The running platform, for who started it. */
export interface Platform {
  /** Where it listens: `http://127.0.0.1:3000`. */
  readonly url: string
  /** Which engine serves what. */
  readonly engines: Readonly<Record<string, string>>
  head(): Promise<bigint>
  projections(): readonly ProjectorStatus[]
  /** Waits until every read model has what is in the log now; false when the time, in milliseconds, ran out first. */
  caughtUp(ms: number): Promise<boolean>
  /** Whether the saga has seen the whole log and every fulfilment has ended or is parked. */
  fulfilmentsEnded(): Promise<boolean>
  /** Folds the whole log and compares. @param acknowledged ids of orders that a client was told were placed */
  audit(acknowledged: readonly string[]): Promise<Audit>
  /** Drains and stops everything, last started first. Repeatable. */
  stop(): Promise<void>
}

const listen = async (server: HttpServer, { host, port }: Config): Promise<string> => {
  try {
    return await server.listen({ host, port })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE')
      throw new StartupError(
        `Port ${port} on ${host} is taken by another program; name a free one with ORDERLOG_PORT (0 picks one).`,
        { cause: error },
      )
    if (code === 'EADDRNOTAVAIL' || code === 'EACCES')
      throw new StartupError(
        `Orderlog cannot listen on ${host}:${port} (${code}); see ORDERLOG_HOST and ORDERLOG_PORT.`,
      )
    throw error
  }
}

/** Puts the roles together on their engines, starts them and listens. What was started is stopped again when it fails. */
export const startPlatform = async (deps: {
  readonly config: Config
  readonly roles: readonly Role[]
  readonly logger: Logger
  /** Aborted when the process is told to stop before it has started. */
  readonly stopping?: AbortSignal
}): Promise<Platform> => {
  const { stopping = new AbortController().signal } = deps
  const lifecycle = createLifecycle(deps.logger, deps.config.shutdownTimeoutMs)
  try {
    return await compose({ ...deps, stopping, lifecycle })
  } catch (error) {
    await lifecycle.stop()
    throw error
  }
}

const compose = async ({
  config,
  roles,
  logger,
  stopping,
  lifecycle,
}: {
  config: Config
  roles: readonly Role[]
  logger: Logger
  stopping: AbortSignal
  lifecycle: Lifecycle
}): Promise<Platform> => {
  const has = (role: Role) => roles.includes(role)
  const metrics = createMetrics()
  metrics.collectProcess()
  const clock = systemClock
  const url = await provideDatabase({ config, logger, lifecycle, stopping })
  const engines = await openEngines({ config, roles, clock, logger, metrics, lifecycle, stopping }, url)
  const { database, queries, store, feed } = engines

  const guard = composeLogGuard({ engines, records: createPutBackRecords(database), logger, metrics })
  // Before anybody appends: a log that was put back grows beyond the checkpoints that tell of it.
  await guard.examine()

  const vault = createPersonalDataVault(database)
  const gateway = createGuardedPaymentGateway({
    gateway: createSimulatedPaymentGateway({ database }),
    timeoutMs: config.gatewayTimeoutMs,
    logger,
    metrics,
  })
  const commands = createCommandHandler({
    store,
    snapshots: createSnapshotStore(database),
    gateway,
    clock,
    logger,
    metrics,
  })
  lifecycle.onStop('the snapshots', commands.settled)
  const { rebuildLanes: lanes, maxParkedStreams } = config
  const startThread = rebuildThreads({ config, url, partitions: feed.partitions })
  const readModels = composeReadModels({ engines, guard, vault, lanes, startThread, maxParkedStreams, logger, metrics })

  const server = createHttpServer({ logger, metrics, trustedProxies: config.trustedProxies })
  const checks: Record<string, HealthCheck> = {
    process: () => (lifecycle.isStopping() ? { ok: false, detail: 'shutting down' } : { ok: true }),
    ...engines.checks,
  }

  /** Runs something until the platform stops, and then waits for it. */
  const run = (name: string, work: (signal: AbortSignal) => Promise<unknown>): void => {
    const stop = new AbortController()
    const running = work(stop.signal)
    const end = () => {
      stop.abort()
      return running
    }
    lifecycle.onStop(name, end, { group: 'work' })
  }

  if (has('projections') || has('sagas') || has('relay')) run('the trail of the log', guard.run)
  if (has('projections')) {
    for (const projector of readModels.projectors) run(`the projection ${projector.status().name}`, projector.run)
    run('the rebuilds', readModels.rebuilding.rebuilder.run)
    if (config.rebuildStale) run('the rebuild of stale read models', readModels.rebuilding.rebuildStale)
    checks.projections = () => {
      const troubled = readModels.projectors.flatMap((projector) => {
        const { name, state, error } = projector.status()
        return state === 'stopped' || state === 'waiting' ? [`${name} is ${state}: ${error ?? 'no reason given'}`] : []
      })
      return troubled.length === 0 ? { ok: true } : { ok: false, detail: troubled.join('; ') }
    }
  }
  if (has('relay') && engines.relay) {
    run('the relay to Kafka', engines.relay.run)
    checks.relay = engines.relay.health
  }
  const { reservationDeadlineMs, authorisationDeadlineMs } = config
  if (has('sagas')) {
    const saga = composeSaga({
      ...{ feed, store, commands, database, clock, guard, logger, metrics },
      config: { reservationDeadlineMs, authorisationDeadlineMs, drainMs: config.shutdownTimeoutMs / 3 },
    })
    run('the order-fulfilment saga', saga.run)
    checks.sagas = saga.health
    run('the watchdog', createWatchdog({ database, store, logger, metrics }).run)
  }

  registerHealth(server, { checks, metrics })
  if (has('sagas')) registerSagaApi(server, { store, database, clock, logger })
  if (has('write-side')) {
    const idempotencyKeys = createIdempotencyKeys({ database, logger })
    registerWriteApi(server, { commands, store, vault, idempotencyKeys, clock, logger })
  }
  if (has('read-api')) {
    const { consistency, checkpointsElsewhere, leaderboards, searchIndex, parkedEvents, rebuilding, verifier } =
      readModels
    registerReadApi(server, {
      database: queries,
      store,
      vault,
      consistency,
      checkpointsElsewhere,
      leaderboards,
      searchIndex,
      parkedEvents,
      verifier,
      rebuilds: rebuilding.service,
      knownProjections: readModels.known,
      ...(has('projections') ? { projectors: () => readModels.projectors.map((projector) => projector.status()) } : {}),
      clock,
      metrics,
      logger,
    })
    registerLive(server, { database: queries, store, feed, vault, consistency, leaderboards, clock, logger, metrics })
  }
  // Closing the server ends idle connections. One that is still busy would become idle later, and be waited for.
  server.addHook('onSend', async (_request, reply) => {
    if (lifecycle.isStopping()) reply.header('Connection', 'close')
  })
  const address = await listen(server, config)
  lifecycle.onStop('the HTTP server', () => server.close())

  return {
    url: address,
    engines: engines.names,
    head: store.head,
    projections: () => readModels.projectors.map((projector) => projector.status()),
    caughtUp: async (ms) => readModels.consistency.waitFor(readModels.names, await store.head(), ms),
    fulfilmentsEnded: async () => {
      const [open] = await database.query("select from saga.instances where status in ('running', 'waiting') limit 1")
      return !open && readModels.consistency.waitFor([sagaConsumer], await store.head(), 500)
    },
    audit: async (acknowledged) => readModels.audit({ acknowledged, ledger: await readSimulatedLedger(database) }),
    stop: lifecycle.stop,
  }
}
