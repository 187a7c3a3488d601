import { randomUUID } from 'node:crypto'
import type { EventStore } from './event-store.ts'
import type { SendAppend } from './eventstoredb-event-store-append.ts'
import { identityStream } from './eventstoredb-event-store-record.ts'
import { proposeAppend } from './proposed-append.ts'

/** Every read with a consistency token asks for the identity; a log that is exchanged under a running process is rare. */
const rememberedMs = 30_000

const identityOf = (data: unknown): string | undefined =>
  typeof data === 'object' && data !== null && 'identity' in data && typeof data.identity === 'string'
    ? data.identity
    : undefined

/**
 * The log's identity is the first event of a stream of its own, which is made when it is first asked for. Of several
 * processes that make it at once one wins, because it expects the stream not to exist; all read what the winner wrote.
 */
export const createIdentity = (send: SendAppend, readStream: EventStore['readStream']): EventStore['identity'] => {
  const stored = async () => identityOf((await readStream(identityStream, { limit: 1 })).events[0]?.data)

  const agree = async (): Promise<string> => {
    const known = await stored()
    if (known) return known
    const id = randomUUID()
    const metadata = { commandId: id, correlationId: id, causationId: id, actor: 'system:event-store' }
    const made = { id, type: 'orderlog.identity-made.v1', data: { identity: randomUUID() }, metadata }
    await send(proposeAppend(identityStream, [made], 'none'))
    const agreed = await stored()
    if (!agreed) throw new Error(`the stream ${identityStream} holds no identity`)
    return agreed
  }

  let known: { readonly identity: string; readonly until: number } | undefined
  return async () => {
    if (!known || performance.now() > known.until)
      known = { identity: await agree(), until: performance.now() + rememberedMs }
    return known.identity
  }
}
