import type { StreamingRead } from '@eventstore/db-client'
import { engine, translated, typeOf } from './eventstoredb-event-store-client.ts'
import { EngineUnavailable } from './failures.ts'

/**
 * Takes from a read until it ends or `take` says that it is enough. A read that falls silent is given up.
 *
 * @param stallMs how long nothing may come
 * @returns false when the stream does not exist
 * @throws EngineUnavailable
 */
export const collect = <Event>(
  read: StreamingRead<Event>,
  stallMs: number,
  take: (event: Event) => 'more' | 'enough',
): Promise<boolean> =>
  new Promise((resolve, reject) => {
    let settled = false
    const settle = (end: () => void) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      end()
    }
    const cancel = () => void read.cancel().catch(() => undefined)
    const timer = setTimeout(
      () =>
        settle(() => {
          cancel()
          reject(new EngineUnavailable(engine, new Error(`a read was silent for ${stallMs} ms`)))
        }),
      stallMs,
    )
    // What is still on its way after `enough` is let through: a read that nobody takes from is never freed.
    read.on('data', (event) => {
      if (settled) return
      timer.refresh()
      try {
        if (take(event) === 'more') return
        settle(() => resolve(true))
      } catch (error) {
        settle(() => reject(error))
      }
      cancel()
    })
    read.on('end', () => settle(() => resolve(true)))
    read.on('error', (error) =>
      settle(() => (typeOf(error) === 'stream-not-found' ? resolve(false) : reject(translated(error)))),
    )
  })
