import { randomUUID } from 'node:crypto'
import type { Admin, Kafka } from 'kafkajs'
import { kafkaUnavailable } from './kafka-client.ts'
import type { Extent } from './kafka-topic.ts'
import { pause } from './pause.ts'

/** How long a topic may take to be read, milliseconds. */
const patienceMs = 30_000

/**
 * The messages of some stretches of a topic, in order within each partition.
 *
 * @param stretches by Kafka's number of the partition, `high` exclusive
 * @throws EngineUnavailable
 */
export const readStretches = async (
  { kafka, admin, topic }: { readonly kafka: Kafka; readonly admin: Admin; readonly topic: string },
  stretches: ReadonlyMap<number, Extent>,
): Promise<ReadonlyMap<number, readonly Buffer[]>> => {
  const found = new Map([...stretches.keys()].map((partition) => [partition, [] as Buffer[]]))
  const missing = new Set(stretches.keys())
  // The client reads as a group or not at all: this one is nobody else's and is taken away again.
  const groupId = `${topic}.tail-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, allowAutoTopicCreation: false })
  const read = async (): Promise<void> => {
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const done = new Promise<void>((resolve) => {
      const eachBatch: NonNullable<Parameters<typeof consumer.run>[0]>['eachBatch'] = async ({ batch }) => {
        const stretch = stretches.get(batch.partition)
        if (!stretch) return
        for (const { offset, value } of batch.messages)
          if (value && BigInt(offset) >= stretch.low && BigInt(offset) < stretch.high)
            found.get(batch.partition)?.push(value)
        if (BigInt(batch.lastOffset()) + 1n >= stretch.high) missing.delete(batch.partition)
        if (missing.size === 0) resolve()
      }
      void consumer.run({ autoCommit: false, eachBatch })
    })
    for (const [partition, { low }] of stretches) consumer.seek({ topic, partition, offset: low.toString() })
    await done
  }
  const timer = new AbortController()
  try {
    const tooLong = pause(patienceMs, timer.signal).then(() => {
      if (!timer.signal.aborted) throw new Error(`the end of ${topic} could not be read within ${patienceMs} ms`)
    })
    if (missing.size > 0) await Promise.race([read(), tooLong])
    return found
  } catch (error) {
    throw kafkaUnavailable(error)
  } finally {
    timer.abort()
    await consumer.disconnect().catch(() => undefined)
    await admin.deleteGroups([groupId]).catch(() => undefined)
  }
}
