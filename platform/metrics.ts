import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** Seconds from a tenth of a millisecond to ten seconds. */
const latencies = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

/** Every measure that `/metrics` shows, in one place; docs/operations.md explains each. */
export const createMetrics = () => {
  const registry = new Registry()
  const registers = [registry]
  return {
    registry,
    appendSeconds: new Histogram({
      name: 'orderlog_append_seconds',
      help: 'Time of one append to the event store, waiting for its group commit included.',
      buckets: latencies,
      registers,
    }),
    putBackConsumers: new Gauge({
      name: 'orderlog_put_back_consumers',
      help: 'Consumers that stand still because they are ahead of a log that was put back to an older backup.',
      registers,
    }),
    appendBatchEvents: new Histogram({
      name: 'orderlog_append_batch_events',
      help: 'Events that travelled in one group commit.',
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
      registers,
    }),
    appendedEvents: new Counter({ name: 'orderlog_appended_events_total', help: 'Events appended.', registers }),
    commandSeconds: new Histogram({
      name: 'orderlog_command_seconds',
      help: "Time of one command from the handler's door to its outcome.",
      labelNames: ['type', 'outcome'] as const,
      buckets: latencies,
      registers,
    }),
    commandConflicts: new Counter({
      name: 'orderlog_command_conflicts_total',
      help: 'Appends that lost against another writer of the stream and were decided anew.',
      labelNames: ['aggregate'] as const,
      registers,
    }),
    gatewaySeconds: new Histogram({
      name: 'orderlog_payment_gateway_seconds',
      help: 'Time of one call to the payment gateway.',
      labelNames: ['operation', 'outcome'] as const,
      buckets: latencies,
      registers,
    }),
    httpSeconds: new Histogram({
      name: 'orderlog_http_seconds',
      help: 'Time of one HTTP request.',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: latencies,
      registers,
    }),
    projectionEvents: new Counter({
      name: 'orderlog_projection_events_total',
      help: 'Events that a projection has handled.',
      labelNames: ['projection'] as const,
      registers,
    }),
    projectionPosition: new Gauge({
      name: 'orderlog_projection_position',
      help: 'Checkpoint of a projection in the log.',
      labelNames: ['projection', 'partition'] as const,
      registers,
    }),
    projectionLagEvents: new Gauge({
      name: 'orderlog_projection_lag_events',
      help: 'Positions between the checkpoint and the head of the log.',
      labelNames: ['projection', 'partition'] as const,
      registers,
    }),
    projectionLagSeconds: new Gauge({
      name: 'orderlog_projection_lag_seconds',
      help: 'Age of the newest event that a projection has handled while later ones wait; 0 when it has them all.',
      labelNames: ['projection', 'partition'] as const,
      registers,
    }),
    parkedEvents: new Gauge({
      name: 'orderlog_parked_events',
      help: 'Events parked by a projection.',
      labelNames: ['projection'] as const,
      registers,
    }),
    rebuildEvents: new Counter({
      name: 'orderlog_rebuild_events_total',
      help: 'Events that went into generations of a read model that were built beside the live one.',
      labelNames: ['projection'] as const,
      registers,
    }),
    rebuilds: new Counter({
      name: 'orderlog_rebuilds_total',
      help: 'Rebuilds that came to an end here.',
      labelNames: ['projection', 'outcome'] as const,
      registers,
    }),
    eventGaps: new Gauge({
      name: 'orderlog_event_gaps',
      help: 'Events that a projection goes without because an operator discarded them.',
      labelNames: ['projection'] as const,
      registers,
    }),
    projectionWaiting: new Gauge({
      name: 'orderlog_projection_waiting',
      help: '1 while a projection does not go on for this reason, 0 once it does.',
      labelNames: ['projection', 'reason'] as const,
      registers,
    }),
    sagaWaiting: new Gauge({
      name: 'orderlog_saga_waiting',
      help: '1 while the saga does not go on for this reason, 0 once it does.',
      labelNames: ['reason'] as const,
      registers,
    }),
    verifyDifferences: new Gauge({
      name: 'orderlog_verify_differences',
      help: 'Differences between a read model and the log that the last verification found.',
      labelNames: ['projection'] as const,
      registers,
    }),
    verifySeconds: new Gauge({
      name: 'orderlog_verify_seconds',
      help: 'Time that the last verification of a read model took.',
      labelNames: ['projection'] as const,
      registers,
    }),
    relayPosition: new Gauge({
      name: 'orderlog_relay_position',
      help: 'Position up to which the log has been carried to Kafka.',
      registers,
    }),
    relayLagEvents: new Gauge({
      name: 'orderlog_relay_lag_events',
      help: 'Positions of the log that are not in Kafka yet.',
      registers,
    }),
    relayEvents: new Counter({
      name: 'orderlog_relay_events_total',
      help: 'Events that the relay has handed to Kafka.',
      registers,
    }),
    relayTopicLosses: new Counter({
      name: 'orderlog_relay_topic_losses_total',
      help: 'Times that Kafka was found to have lost events, which were then published again.',
      registers,
    }),
    feedGaps: new Counter({
      name: 'orderlog_feed_gaps_total',
      help: 'Times that a consumer did not find in Kafka what it needed and read it from the event store.',
      labelNames: ['consumer', 'partition'] as const,
      registers,
    }),
    sagaInstances: new Gauge({
      name: 'orderlog_saga_instances',
      help: 'Fulfilments by status.',
      labelNames: ['status'] as const,
      registers,
    }),
    sagaOldestSeconds: new Gauge({
      name: 'orderlog_saga_oldest_seconds',
      help: 'Time without progress of the fulfilment that has waited longest for the saga itself.',
      registers,
    }),
    sagaSteps: new Counter({
      name: 'orderlog_saga_steps_total',
      help: 'Commands that the saga issued.',
      labelNames: ['step', 'outcome'] as const,
      registers,
    }),
    liveConnections: new Gauge({ name: 'orderlog_live_connections', help: 'Open live connections.', registers }),
    liveMessages: new Counter({
      name: 'orderlog_live_messages_total',
      help: 'Messages sent to live connections.',
      registers,
    }),
    liveSlowClosed: new Counter({
      name: 'orderlog_live_slow_closed_total',
      help: 'Live connections closed because the client read too slowly.',
      registers,
    }),
    asOfEvents: new Histogram({
      name: 'orderlog_as_of_events',
      help: 'Events folded for one answer about the past.',
      labelNames: ['of'] as const,
      buckets: [1, 10, 100, 1_000, 5_000, 20_000, 100_000, 1_000_000],
      registers,
    }),
    collectProcess: () => collectDefaultMetrics({ register: registry }),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
