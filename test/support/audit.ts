import { startPlatform } from '../../platform/compose.ts'
import { readConfig } from '../../platform/config.ts'
import { silentLogger } from '../../platform/logging.ts'
import type { Audit } from '../../projections/audit.ts'

/**
 * The audit of the demo over engines on which others run the platform, once every read model has caught up.
 *
 * @param engines the environment variables that name them
 */
export const auditOf = async (
  engines: Readonly<Record<string, string>>,
  acknowledged: readonly string[],
): Promise<Audit> => {
  const config = readConfig({ ...engines, ORDERLOG_PORT: '0', ORDERLOG_DATABASE_CONNECTIONS: '8' })
  const platform = await startPlatform({ config, roles: [], logger: silentLogger })
  try {
    if (!(await platform.caughtUp(150_000))) throw new Error('the read models did not catch up within 150 s')
    return await platform.audit(acknowledged)
  } finally {
    await platform.stop()
  }
}

export const cleanReport = {
  ...{ clean: true, oversold: 0, doubleCharges: 0, lost: 0, openAuthorisations: 0, readModelsDiffer: 0 },
}
