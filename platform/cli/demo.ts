import closeWithGrace from 'close-with-grace'
import { startPlatform } from '../compose.ts'
import { readConfig, rolesOf } from '../config.ts'
import { createLogger } from '../logging.ts'
import { runDemo } from './demo/run.ts'

/**
 * `orderlog demo`: everything in this process, on a free port unless ORDERLOG_PORT names one; only warnings are logged.
 *
 * @param options.url shoppers go to the platform that runs there, on the same engines; this process only audits it
 */
export const demo = async (options: {
  orders?: number
  rate?: number
  json?: boolean
  url?: string
}): Promise<void> => {
  const config = readConfig(undefined, { ORDERLOG_PORT: '0', ORDERLOG_LOG_LEVEL: 'warn' })
  const closing = new AbortController()
  // Begins once the signals are caught below: one that comes while the platform starts must not leave its PostgreSQL behind.
  const starting = Promise.resolve().then(() =>
    startPlatform({
      config,
      roles: options.url === undefined ? rolesOf(config) : [],
      logger: createLogger(config.logLevel),
      stopping: closing.signal,
    }),
  )
  const finished = starting.then((platform) =>
    closing.signal.aborted
      ? true
      : runDemo(options.url === undefined ? platform : { ...platform, url: options.url, projections: () => [] }, {
          orders: options.orders,
          ratePerSecond: options.rate ?? (options.orders === undefined ? 20 : 60),
          json: options.json ?? false,
          closing: closing.signal,
        }),
  )
  // The first Ctrl-C closes the shop and audits; a second one ends it at once.
  const grace = closeWithGrace({ delay: 150_000, logger: false }, async ({ err }) => {
    if (err) console.error(err)
    closing.abort()
    const clean = await finished.catch(() => false)
    await (await starting).stop()
    // The exit code is 0 unless this rejects, whatever process.exitCode says.
    if (!clean) throw new Error('the audit is not clean')
  })
  try {
    if (!(await finished)) process.exitCode = 1
  } finally {
    await starting.then(
      (platform) => platform.stop(),
      () => undefined,
    )
    grace.uninstall()
  }
}
