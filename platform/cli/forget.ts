import { CustomerId } from '../../schemas/primitives.ts'
import { validate } from '../../schemas/validation.ts'
import { startPlatform } from '../compose.ts'
import { type Config, readConfig } from '../config.ts'
import { StartupError } from '../failures.ts'
import { createLogger } from '../logging.ts'
import { finishing } from './finishing.ts'

const ask = async (base: string, customer: string): Promise<void> => {
  const response = await fetch(`${base}/v1/customers/${customer}/personal-data`, { method: 'DELETE' })
  if (!response.ok) {
    const problem = (await response.json()) as { title?: string }
    throw new StartupError(`${customer} was not forgotten: ${problem.title ?? response.statusText}`)
  }
}

const startAndAsk = async (config: Config, customer: string, stopping: AbortSignal): Promise<void> => {
  const platform = await startPlatform({
    config: { ...config, port: 0 },
    roles: ['write-side', 'projections'],
    logger: createLogger('warn'),
    stopping,
  })
  try {
    await ask(platform.url, customer)
    await platform.caughtUp(60_000)
  } finally {
    await platform.stop()
  }
}

/** `orderlog forget`: through the running platform, or, when none runs here, by starting one for a moment. */
export const forget = async (customer: string): Promise<void> => {
  if (!validate(CustomerId, customer).valid)
    throw new StartupError(`"${customer}" is not the id of a customer: letters, digits, ".", "_" and "-", at most 64.`)
  const config = readConfig()
  const base = `http://${config.host}:${config.port}`
  const running = await fetch(`${base}/health/live`, { signal: AbortSignal.timeout(10_000) }).then(
    (response) => response.ok,
    () => false,
  )
  if (running) await ask(base, customer)
  else await finishing(config, (stopping) => startAndAsk(config, customer, stopping))
  console.log(`The personal data of ${customer} can no longer be read by anyone.`)
}
