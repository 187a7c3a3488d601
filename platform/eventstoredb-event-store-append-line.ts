import { randomUUID } from 'node:crypto'
import { convertToCommandError } from '@eventstore/db-client'
import type { BatchAppendResp } from '@eventstore/db-client/generated/streams_pb.js'
import type { AppendResult } from './event-store.ts'
import { correlationOf, toRequest, toResult } from './eventstoredb-event-store-append-request.ts'
import { type BatchAppendCall, engine, translated } from './eventstoredb-event-store-client.ts'
import { EngineUnavailable } from './failures.ts'
import type { ProposedAppend } from './proposed-append.ts'

/** One long call on which appends travel, each as a message with an id under which it is answered. */
export interface AppendLine {
  /** @throws AppendTooLarge, EngineUnavailable */
  send(append: ProposedAppend): Promise<AppendResult>
  /** False once the call is broken or an append on it went unanswered: the next append needs another line. */
  isUsable(): boolean
}

interface Waiting {
  readonly append: ProposedAppend
  readonly settle: (how: { readonly result: AppendResult } | { readonly error: unknown }) => void
}

/**
 * States: opening -> open -> broken (its error rejects what waits) | retired (an append missed its deadline; the call is
 * cancelled when the last of the others has settled). The table of what waits is its own, not shared with other lines.
 *
 * @param deadlineMs an append that is not answered by then is rejected; whether it was written is unknown
 */
export const openAppendLine = (open: () => Promise<BatchAppendCall>, deadlineMs: number): AppendLine => {
  const waiting = new Map<string, Waiting>()
  let usable = true

  const breakOff = (error: unknown): void => {
    usable = false
    for (const { settle } of [...waiting.values()]) settle({ error: translated(error) })
  }

  const answered = (response: BatchAppendResp): void => {
    // Nobody waits any more for the answer to an append that missed its deadline.
    const entry = waiting.get(correlationOf(response))
    if (!entry) return
    try {
      entry.settle({ result: toResult(response, entry.append) })
    } catch (error) {
      entry.settle({ error })
    }
  }

  const opening = open().then((call) => {
    call.on('data', answered)
    call.on('error', (error) => breakOff(convertToCommandError(error)))
    call.on('end', () => breakOff(new Error('the server ended the stream of appends')))
    return call
  })
  opening.catch(breakOff)

  const retire = async (): Promise<void> => {
    usable = false
    if (waiting.size === 0) (await opening).cancel()
  }

  return {
    isUsable: () => usable,
    send: (append) =>
      new Promise((resolve, reject) => {
        const id = randomUUID()
        const unanswered = () => {
          const error = new Error(`an append was not answered within ${deadlineMs} ms`)
          waiting.get(id)?.settle({ error: new EngineUnavailable(engine, error) })
          usable = false
        }
        const timer = setTimeout(unanswered, deadlineMs)
        const settle: Waiting['settle'] = (how) => {
          clearTimeout(timer)
          waiting.delete(id)
          if ('result' in how) resolve(how.result)
          else reject(how.error)
          // A line that could not even be opened has nothing to cancel.
          if (!usable) retire().catch(() => undefined)
        }
        waiting.set(id, { append, settle })
        const write = (call: BatchAppendCall) => {
          if (waiting.has(id)) call.write(toRequest(id, append, new Date(Date.now() + deadlineMs)))
        }
        opening.then(write).catch((error: unknown) => waiting.get(id)?.settle({ error: translated(error) }))
      }),
  }
}
