import type { StoredEvent } from '../schemas/envelope.ts'
import { CommandRejected } from '../schemas/errors.ts'
import type { ReadApiDependencies } from './dependencies.ts'
import { defaultWaitMs } from './route.ts'

/**
 * A place in history. At a time: everything before the first event that was recorded later, which is one and the same
 * beginning of the log for everybody, also where clocks have jumped.
 */
export type Instant =
  | { readonly by: 'revision'; readonly revision: bigint }
  | { readonly by: 'position'; readonly position: bigint }
  | { readonly by: 'time'; readonly time: string }

/** @param asOf as the schema `AsOf` has it */
export const parseAsOf = (asOf: string): Instant => {
  if (asOf.startsWith('position:')) return { by: 'position', position: BigInt(asOf.slice('position:'.length)) }
  return asOf.includes('T') ? { by: 'time', time: asOf } : { by: 'revision', revision: BigInt(asOf) }
}

/** Whether an event came after an instant. */
export const isAfter = (
  event: Pick<StoredEvent, 'revision' | 'position' | 'recordedAt'>,
  instant: Instant,
): boolean => {
  switch (instant.by) {
    case 'revision':
      return event.revision > instant.revision
    case 'position':
      return event.position > instant.position
    case 'time':
      return event.recordedAt > instant.time
  }
}

/**
 * Refuses a position beyond the log and a time to come; a revision is checked by who reads the stream.
 *
 * @throws CommandRejected `in-the-future`
 */
export const refuseFuture = async (
  deps: { readonly store: Pick<ReadApiDependencies['store'], 'head'>; readonly clock: ReadApiDependencies['clock'] },
  instant: Instant,
  asOf: string,
): Promise<void> => {
  if (instant.by === 'time') {
    const now = deps.clock.now().toISOString()
    if (instant.time > now) throw new CommandRejected('in-the-future', { asOf, now })
  }
  if (instant.by === 'position') {
    const head = await deps.store.head()
    if (instant.position > head) throw new CommandRejected('in-the-future', { asOf, head: String(head) })
  }
}

/** How long a question may fold what was not kept before it is asked to come again. */
export interface Patience {
  isOver(): boolean
}

/** @param waitMs milliseconds from now */
export const patienceOf = (waitMs: number = defaultWaitMs): Patience => {
  const end = performance.now() + waitMs
  return { isOver: () => performance.now() >= end }
}
