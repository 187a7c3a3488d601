import closeWithGrace from 'close-with-grace'
import { startPlatform } from '../compose.ts'
import { type Role, readConfig, rolesOf } from '../config.ts'
import { afterDrainMs } from '../lifecycle.ts'
import { createLogger } from '../logging.ts'

/**
 * Runs the roles until a signal, then drains: no new work, the work begun is finished, bounded by
 * ORDERLOG_SHUTDOWN_TIMEOUT_MS.
 *
 * @param chosen none: all that the engines have work for
 */
export const start = async (chosen: readonly Role[] = []): Promise<void> => {
  const config = readConfig()
  const roles = rolesOf(config, chosen)
  const logger = createLogger(config.logLevel)
  const stopping = new AbortController()
  // Begins once the signals are caught below: one that comes while the platform starts must not leave its PostgreSQL behind.
  const starting = Promise.resolve().then(() => startPlatform({ config, roles, logger, stopping: stopping.signal }))
  const grace = closeWithGrace(
    { delay: config.shutdownTimeoutMs + afterDrainMs, logger: false },
    async ({ signal, err }) => {
      if (err) logger.fatal({ err }, 'an error that nobody handled ends the process')
      else logger.info(`${signal} received, draining`)
      stopping.abort()
      await starting.then(
        (platform) => platform.stop(),
        () => undefined,
      )
      logger.info('stopped')
    },
  )
  try {
    const platform = await starting
    logger.info({ roles, engines: platform.engines }, `Orderlog is ready on ${platform.url}`)
  } catch (error) {
    grace.uninstall()
    throw error
  }
}
