import { setTimeout as pause } from 'node:timers/promises'
import { isTransient } from './database.ts'
import { type Claim, claim } from './embedded-postgres-claim.ts'
import { isAlive, readOwner, writeOwner } from './embedded-postgres-cluster.ts'
import { endOrphans, findPostmaster, launchPostmaster, type Postmaster } from './embedded-postgres-postmaster.ts'
import { boundLog, type Site, urlOf } from './embedded-postgres-site.ts'
import { StartupError } from './failures.ts'

/** The server could not be brought up this time; `retry` says whether the same attempt may succeed later. */
export class NotUp extends Error {
  readonly retry: boolean
  constructor(message: string, retry: boolean) {
    super(message)
    this.name = 'NotUp'
    this.retry = retry
  }
}

/** What passes by itself: backends of a killed server still exiting, a port just taken, another start in between. */
const passing =
  /pre-existing shared memory block|could not create any TCP\/IP sockets|lock file "postmaster\.pid"|is gone/

const beside = /pre-existing shared memory block/

export interface Running {
  readonly postmaster: Postmaster
  readonly claim: Claim
}

const inUse = (site: Site, holder: number | undefined): StartupError =>
  new StartupError(
    `The embedded PostgreSQL in ${site.directory} is in use by process ${holder ?? 'unknown'}: stop that one first, or start with another directory.`,
  )

/** How long the connection of a process that was killed may take to go, milliseconds: the server has to notice it first. */
const predecessorMs = 60_000

/** Waits until the server answers, for as long as it lives: a recovery takes what it takes. */
const claimWhenReady = async (site: Site, postmaster: Postmaster, stopping: AbortSignal): Promise<Claim> => {
  const url = urlOf(site, postmaster.port, 'postgres')
  const began = performance.now()
  let toldAt = began
  const tell = (what: string): void => {
    if (performance.now() - toldAt <= 10_000) return
    toldAt = performance.now()
    site.logger.warn(`waiting for the embedded PostgreSQL, process ${postmaster.pid}: ${what}`)
  }
  for (;;) {
    stopping.throwIfAborted()
    try {
      const claimed = await claim(url)
      if ('lost' in claimed) return claimed
      const { heldBy } = claimed
      const alive = heldBy !== undefined && isAlive(heldBy)
      if (alive || performance.now() - began > predecessorMs) throw inUse(site, heldBy)
      tell(`process ${heldBy ?? 'unknown'}, which is gone, still holds it`)
    } catch (error) {
      if (error instanceof StartupError) throw error
      const reason = await postmaster.ended()
      if (reason !== undefined) throw new NotUp(reason, passing.test(reason))
      if (!isTransient(error) && !/timeout|terminated/i.test(String(error))) throw error
      tell((error as Error).message)
    }
    await pause(50, undefined, { signal: stopping })
  }
}

/**
 * One attempt: joins the server that runs on the data directory, or starts one on the port.
 *
 * @param onPostmaster told of the server that is ours to stop, and again, with nothing, when it turns out to be theirs
 * @throws NotUp when the server ended; StartupError when another process holds the directory
 */
export const bringUp = async (
  site: Site,
  port: number,
  stopping: AbortSignal,
  onPostmaster: (postmaster: Postmaster | undefined) => void,
): Promise<Running> => {
  const found = await findPostmaster(site.data)
  if (!found) await boundLog(site.logFile)
  const postmaster = found ?? (await launchPostmaster({ ...site, port }))
  if (!found) onPostmaster(postmaster)
  const claimed = await claimWhenReady(site, postmaster, stopping).catch(async (error) => {
    if (error instanceof StartupError) onPostmaster(undefined)
    if (beside.test(String(error))) await endOrphans(site.data, site.binaries.postgres)
    throw error
  })
  onPostmaster(postmaster)
  if (found) site.logger.info(`joined the running embedded PostgreSQL, process ${found.pid} on port ${found.port}`)
  await writeOwner(site.directory)
  return { postmaster, claim: claimed }
}

/** A living process may be restarting its own server this very moment: it comes first. */
export const yieldToOwner = async (site: Site): Promise<void> => {
  const deadline = performance.now() + 3_000
  while ((await readOwner(site.directory)) && !(await findPostmaster(site.data)) && performance.now() < deadline)
    await pause(50)
}
