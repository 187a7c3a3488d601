import closeWithGrace from 'close-with-grace'
import type { Config } from '../config.ts'
import { afterDrainMs } from '../lifecycle.ts'

/**
 * Does what ends by itself and may have a PostgreSQL of its own for it. A signal waits for its end, bounded, so that
 * the PostgreSQL is not left behind; a second signal does not wait.
 *
 * @param work is told by its signal that it need not wait for anybody any longer
 */
export const finishing = async (config: Config, work: (stopping: AbortSignal) => Promise<void>): Promise<void> => {
  const stopping = new AbortController()
  // Begins once the signals are caught below.
  const working = Promise.resolve().then(() => work(stopping.signal))
  const grace = closeWithGrace({ delay: config.shutdownTimeoutMs + afterDrainMs, logger: false }, async ({ err }) => {
    if (err) console.error(err)
    stopping.abort()
    await working
  })
  try {
    await working
  } finally {
    grace.uninstall()
  }
}
