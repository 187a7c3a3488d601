import { constants, getPriority, setPriority } from 'node:os'

/** To the system, 0 is whoever calls: on Linux a thread, elsewhere the whole process with those that serve. */
const caller = 0

/**
 * From now on the calling thread has a processor when nobody else wants it, and about a tenth of one beside a single other (nice 10). Linux only:
 * elsewhere nothing happens. A system that does not allow it is warned of, and nothing more.
 */
export const giveWay = (): void => {
  if (process.platform !== 'linux') return
  try {
    const lower = constants.priority.PRIORITY_BELOW_NORMAL
    if (getPriority(caller) < lower) setPriority(caller, lower)
  } catch (error) {
    process.emitWarning(`a thread keeps the priority that it has: ${(error as Error).message}`)
  }
}
