import { describe } from 'vitest'
import type { RecordedEvent, StoredEvent } from '../schemas/envelope.ts'
import { kafkaSuite, openKafkaRig, withoutKafka } from '../test/support/kafka.ts'
import { describeEventFeed } from './event-feed.contract.ts'

const decode = (stored: StoredEvent): RecordedEvent => {
  if (stored.type.startsWith('unreadable')) throw new Error(`unreadable: ${stored.type}`)
  return { ...stored } as unknown as RecordedEvent
}

describe.skipIf(withoutKafka)(kafkaSuite('the Kafka feed'), () => {
  describeEventFeed('Kafka', async () => {
    const rig = await openKafkaRig({ decode })
    rig.startRelay()
    return { store: rig.store, openMember: () => rig.openMember(), close: rig.close }
  })
})
