import type { ReadReq, ReadResp } from '@eventstore/db-client/generated/streams_pb.js'
import type { ServerWritableStream } from '@grpc/grpc-js'

export type ReadCall = ServerWritableStream<ReadReq, ReadResp>

/** Writes as fast as the client takes it; false when the client has gone. */
export const send = async (call: ReadCall, message: ReadResp): Promise<boolean> => {
  if (call.cancelled || call.destroyed) return false
  if (call.write(message)) return true
  await new Promise<void>((resolve) => {
    const go = () => {
      for (const event of ['drain', 'cancelled', 'close', 'error']) call.off(event, go)
      resolve()
    }
    for (const event of ['drain', 'cancelled', 'close', 'error']) call.once(event, go)
  })
  return !call.cancelled && !call.destroyed
}
