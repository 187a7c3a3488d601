import type { Admin, Kafka } from 'kafkajs'
import type { Database } from './database.ts'
import type { EventStore } from './event-store.ts'
import { EngineUnavailable, TopicHeldBack } from './failures.ts'
import { kafkaUnavailable } from './kafka-client.ts'
import { LogPutBack, verifyTopic } from './kafka-relay-resume.ts'
import { forgetRelay, readRelay } from './kafka-relay-state.ts'
import { topicExtents } from './kafka-topic.ts'
import { pause } from './pause.ts'
import { createPutBackRecords, kafkaConsumer, type PutBackRecords } from './put-back-records.ts'

/** How often, and how many times at most, is looked whether a topic is gone, milliseconds. */
const lookAgainMs = 100
const looks = 100

const deleteTopic = async (admin: Admin, topic: string): Promise<void> => {
  await admin.deleteTopics({ topics: [topic] })
  // The broker answers before it is done: a topic that is seen a last time must not be taken for a new one.
  for (let look = 0; look < looks; look += 1) {
    if (!(await admin.listTopics()).includes(topic)) return
    await pause(lookAgainMs)
  }
  throw new EngineUnavailable('Kafka', new Error(`${topic} was deleted, but is still there`))
}

/**
 * Notes that the topic holds what the log does not, and throws the topic away if an operator has asked for that: what
 * consumers need comes from the event store.
 *
 * @returns whether it is gone
 */
export const discardWhenAsked = async (
  { admin, database, topic }: { readonly admin: Admin; readonly database: Database; readonly topic: string },
  putBack: LogPutBack,
): Promise<boolean> => {
  const records = createPutBackRecords(database)
  await records.add([{ consumer: kafkaConsumer, why: putBack.message }])
  if (!(await records.mending(kafkaConsumer))) return false
  await deleteTopic(admin, topic)
  await forgetRelay(database, topic)
  return true
}

/**
 * Keeps consumers from a topic that holds the future of a log that was put back: the first of a process compares the end of
 * the topic with the log, whether a relay runs or not, and all look whether a relay has found it out.
 */
export const createTopicGuard = (deps: {
  readonly kafka: Kafka
  readonly store: EventStore
  readonly database: Database
}) => {
  const { kafka, store, database } = deps
  const records: PutBackRecords = createPutBackRecords(database)
  let verified: string | undefined
  let verifying: Promise<void> | undefined

  const verify = async (topic: string): Promise<void> => {
    const admin = kafka.admin()
    try {
      await admin.connect().catch((error: unknown) => {
        throw kafkaUnavailable(error)
      })
      const extents = await topicExtents(admin, topic)
      const ends = [...extents].sort(([a], [b]) => a - b).map(([, { high }]) => high)
      await verifyTopic({ kafka, admin, store, topic }, await readRelay(database, topic), ends)
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  }

  return {
    /** @throws TopicHeldBack, EngineUnavailable */
    check: async (topic: string): Promise<void> => {
      try {
        if (verified !== topic) {
          verifying ??= verify(topic)
          await verifying
          verified = topic
        }
      } catch (error) {
        if (!(error instanceof LogPutBack)) throw error
        await records.add([{ consumer: kafkaConsumer, why: error.message }])
      } finally {
        verifying = undefined
      }
      const why = await records.of(kafkaConsumer)
      if (why !== undefined) throw new TopicHeldBack(why)
    },
  }
}

export type TopicGuard = ReturnType<typeof createTopicGuard>
