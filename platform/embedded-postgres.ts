import { setTimeout as pause } from 'node:timers/promises'
import { bringUp, NotUp, type Running, yieldToOwner } from './embedded-postgres-attempt.ts'
import { removeOwner } from './embedded-postgres-cluster.ts'
import { choosePort, lastPort, type Postmaster, stopPostmaster } from './embedded-postgres-postmaster.ts'
import { boundLog, type EmbeddedPostgresOptions, prepareSite, urlOf } from './embedded-postgres-site.ts'
import { StartupError } from './failures.ts'

export interface EmbeddedPostgres {
  /** Of the database `orderlog`; the same for as long as this object lives, whatever happens to the server. */
  readonly url: string
  /** Process id of the server now. */
  pid(): number
  /** Shuts the server down, cutting what is open; bounded to about 20 s. Repeatable. */
  stop(): Promise<void>
}

/**
 * Starts the PostgreSQL that npm installed, making its data directory at the first start, and keeps it running: when
 * it dies it is started again on the same port. A server that a killed process left behind is taken over.
 *
 * @throws StartupError when another living process uses the directory, or the server cannot run here.
 */
export const startEmbeddedPostgres = async (options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> => {
  const { logger } = options
  logger.info(`starting the embedded PostgreSQL in ${options.directory}`)
  const site = await prepareSite(options)
  const stop = new AbortController()

  // Nobody calls stop() when the process ends by process.exit or an uncaught error.
  let ours: Postmaster | undefined
  const stopAtExit = () => ours?.askToStop()
  process.on('exit', stopAtExit)
  const remember = (postmaster: Postmaster | undefined) => {
    ours = postmaster
  }

  const firstStart = async (): Promise<Running> => {
    await yieldToOwner(site)
    for (let attempt = 1; ; attempt++) {
      const port = await choosePort(attempt === 1 ? await lastPort(site.data) : undefined)
      try {
        return await bringUp(site, port, stop.signal, remember)
      } catch (error) {
        if (error instanceof StartupError) throw error
        if (!(error instanceof NotUp && error.retry) || attempt === 60)
          throw new StartupError(
            `The embedded PostgreSQL in ${site.directory} does not start: ${(error as Error).message} (see ${site.logFile}).`,
            { cause: error },
          )
        await pause(250)
      }
    }
  }

  const abandon = async (error: unknown): Promise<never> => {
    if (ours) await stopPostmaster(ours)
    process.off('exit', stopAtExit)
    throw error
  }

  let running = await firstStart().catch(abandon)
  const { port } = running.postmaster
  try {
    const { rowCount } = await running.claim.query("select from pg_database where datname = 'orderlog'")
    if (rowCount === 0) await running.claim.query('create database orderlog')
  } catch (error) {
    await abandon(error)
  }
  running.claim.unref()
  logger.info(`the embedded PostgreSQL is ready on port ${port}, process ${running.postmaster.pid}`)

  const recover = async (): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      try {
        const up = await bringUp(site, port, stop.signal, remember)
        if (up.postmaster.port !== port) {
          await stopPostmaster(up.postmaster)
          throw new Error(`another start brought it up on port ${up.postmaster.port} and not on ${port}`)
        }
        running = up
        running.claim.unref()
        logger.info(`the embedded PostgreSQL is back on port ${port}, process ${running.postmaster.pid}`)
        return
      } catch (error) {
        if (stop.signal.aborted) return
        logger.warn(`the embedded PostgreSQL is not back yet: ${(error as Error).message}`)
      }
      await pause(Math.min(100 * 2 ** attempt, 5_000), undefined, { signal: stop.signal }).catch(() => undefined)
    }
  }

  const supervise = async (): Promise<void> => {
    const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()))
    while (!stop.signal.aborted) {
      await Promise.race([running.claim.lost, stopped])
      if (stop.signal.aborted) return
      logger.warn(`the embedded PostgreSQL, process ${running.postmaster.pid}, was lost: bringing it back`)
      await recover()
    }
  }
  const supervision = supervise()
  const logKeeper = setInterval(() => void boundLog(site.logFile).catch(() => undefined), 60_000).unref()

  const shutDown = async (): Promise<void> => {
    stop.abort()
    clearInterval(logKeeper)
    await supervision
    if (ours) await stopPostmaster(ours)
    ours = undefined
    process.off('exit', stopAtExit)
    await removeOwner(site.directory)
    logger.info('the embedded PostgreSQL has stopped')
  }
  let ending: Promise<void> | undefined

  return {
    url: urlOf(site, port, 'orderlog'),
    pid: () => running.postmaster.pid,
    stop: () => {
      ending ??= shutDown()
      return ending
    },
  }
}
