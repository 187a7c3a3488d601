import gossipService from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import gossip from '@eventstore/db-client/generated/gossip_pb.js'
import featuresService from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import features from '@eventstore/db-client/generated/serverfeatures_pb.js'
import streamsService from '@eventstore/db-client/generated/streams_grpc_pb.js'
import { type Metadata, Server, status, type UntypedHandleCall, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { appendHandler } from './eventstoredb-server-append.ts'
import { batchAppendHandler } from './eventstoredb-server-batch-append.ts'
import { deleteHandler, tombstoneHandler } from './eventstoredb-server-delete.ts'
import { type Endpoint, type FaultState, serverError } from './eventstoredb-server-faults.ts'
import type { ServerLog } from './eventstoredb-server-log.ts'
import { uuid } from './eventstoredb-server-messages.ts'
import { readHandler } from './eventstoredb-server-read.ts'

const instanceId = crypto.randomUUID()

/** Calls without the right name and password are refused, the way a secured node refuses them. */
const secured = (handlers: UntypedServiceImplementation, credentials: string): UntypedServiceImplementation => {
  const wanted = `Basic ${Buffer.from(credentials).toString('base64')}`
  const guard = (handler: UntypedHandleCall): UntypedHandleCall => {
    const open = handler as (call: { metadata: Metadata }, callback?: (error: unknown) => void) => void
    return ((call: { metadata: Metadata; emit(event: string, error: unknown): void }, callback) => {
      if (call.metadata.get('authorization').includes(wanted)) return open(call, callback)
      const error = serverError(status.UNAUTHENTICATED, 'Unauthenticated', { exception: 'access-denied' })
      if (callback) callback(error)
      else call.emit('error', error)
    }) as typeof open as UntypedHandleCall
  }
  return Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [name, guard(handler)]))
}

/**
 * The services of a node that the client calls, over one log. Their handlers answer; nothing listens yet.
 *
 * @param options.credentials `name:password` that every stream call has to carry
 */
export const createServices = (options: {
  readonly log: ServerLog
  readonly state: FaultState
  readonly version: string
  readonly credentials: string | undefined
  /** Who the members of the cluster hear is the leader. */
  readonly leader: () => Endpoint
}): Server => {
  const { log, state } = options
  // As large as a node takes them; the size of an append is judged by the log.
  const server = new Server({ 'grpc.max_receive_message_length': 17 * 1024 * 1024 })
  const handlers = {
    append: appendHandler(log, state),
    batchAppend: batchAppendHandler(log, state),
    read: readHandler(log, state),
    delete: deleteHandler(log, state),
    tombstone: tombstoneHandler(log, state),
  } as unknown as UntypedServiceImplementation
  server.addService(
    streamsService.StreamsService,
    options.credentials === undefined ? handlers : secured(handlers, options.credentials),
  )
  server.addService(featuresService.ServerFeaturesService, {
    getSupportedMethods: async (_call: unknown, callback: (error: null, answer: unknown) => void) => {
      await state.pass('before')
      const methods = Object.keys(handlers).map((name) =>
        new features.SupportedMethod().setServiceName('event_store.client.streams.streams').setMethodName(name),
      )
      callback(
        null,
        new features.SupportedMethods().setEventStoreServerVersion(options.version).setMethodsList(methods),
      )
    },
  })
  server.addService(gossipService.GossipService, {
    read: (_call: unknown, callback: (error: null, answer: unknown) => void) => {
      const { host, port } = options.leader()
      const leader = new gossip.MemberInfo()
        .setInstanceId(uuid(instanceId))
        .setState(gossip.MemberInfo.VNodeState.LEADER)
        .setIsAlive(true)
        .setTimeStamp(String(Date.now()))
        .setHttpEndPoint(new gossip.EndPoint().setAddress(host).setPort(port))
      callback(null, new gossip.ClusterInfo().setMembersList([leader]))
    },
  })
  return server
}
