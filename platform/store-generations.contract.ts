import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type {
  Buildable,
  CheckpointedStore,
  GenerationsReader,
  StoreBatch,
  StoreGenerations,
  Swap,
} from './checkpointed-store.ts'
import { standingElsewhere } from './compose-log-guard.ts'
import type { Database } from './database.ts'
import { EngineUnavailable } from './failures.ts'
import { seal } from './partitioning.ts'

type WithGenerations<Batch extends StoreBatch, Store> = CheckpointedStore<Batch> & {
  readonly generations: StoreGenerations<Store>
}

/** A store with an empty live generation, and what the contract needs to know of it. */
export interface GenerationsSubject<Batch extends StoreBatch, Store> {
  readonly database: Database
  /** Of the projection: the consumer. */
  readonly name: string
  readonly store: Store
  /** The same as another process sees it, through connections that it can lose. */
  other(): { readonly store: Store; lose(): void }
  /** What the event at a position, which brings a key, does. */
  effect(key: number, position: bigint): Omit<Batch, keyof StoreBatch>
  /** The keys that who asks is shown, in order. */
  shown(store: Store): Promise<number[]>
  /** How far who waits for a consistency token believes the partitions to be. */
  checkpoints(): Promise<readonly { readonly partition: number; readonly position: bigint }[]>
  /** Of an engine that knows no transaction with PostgreSQL. */
  readonly reader?: GenerationsReader
  close(): Promise<void>
}

const identity = '00000000-0000-4000-8000-000000000001'

/**
 * What every store with generations must do.
 *
 * @param options.addsUp an event that is applied twice counts twice
 */
export const describeStoreGenerations = <Batch extends StoreBatch, Store extends WithGenerations<Batch, Store>>(
  engine: string,
  open: (logIdentity: string) => Promise<GenerationsSubject<Batch, Store>>,
  { addsUp = false } = {},
): void => {
  describe(`generations: ${engine}`, () => {
    let subject: GenerationsSubject<Batch, Store>
    let store: Store
    beforeEach(async () => {
      subject = await open(identity)
      store = subject.store
      await store.prepare(identity)
      await writeLog(store, 0, 3)
    })
    afterEach(() => subject?.close())

    const batch = (key: number, from: bigint, over: Partial<StoreBatch> = {}): Batch =>
      ({
        ...{ consumer: subject.name, partition: 0, from, to: from + 1n },
        ...subject.effect(key, from + 1n),
        ...over,
      }) as unknown as Batch
    /** The log: the event at position n brings key n. */
    const writeLog = async (to: CheckpointedStore<Batch>, from: number, until: number): Promise<void> => {
      for (let at = from; at < until; at += 1) expect(await to.applyBatch(batch(at + 1, BigInt(at)))).toBe('applied')
    }
    const nothing = async () => undefined
    const build = async (generation: number, until: number): Promise<Store & Buildable> => {
      const built = store.generations.at(generation)
      await built.prepare(identity)
      await writeLog(built, Number((await built.checkpoint(subject.name, 0)).position), until)
      await built.complete()
      return built
    }
    const becomes = (to: number, over: Partial<Swap> = {}): Swap => ({
      ...{ from: to === 1 ? 2 : 1, to, partitions: [0], logIdentity: identity, reach: async () => 3n },
      record: async (transaction) => {
        await transaction.query(
          `insert into platform.projections (name, version, generation) values ($1, 1, $2)
           on conflict (name) do update set generation = excluded.generation`,
          [subject.name, to],
        )
      },
      ...over,
    })
    const live = () => subject.shown(subject.other().store)

    it('are built beside the live one, and nobody sees it', async () => {
      expect(await store.generations.highest()).toBe(1)
      const built = await build(2, 2)
      expect([await live(), await subject.shown(store), await subject.shown(built)]).toEqual([
        [1, 2, 3],
        [1, 2, 3],
        [1, 2],
      ])
      expect(await store.generations.highest()).toBe(2)
      expect((await store.checkpoint(subject.name, 0)).position).toBe(3n)
      await writeLog(store, 3, 4)
      expect(await live()).toEqual([1, 2, 3, 4])
    })

    it('go on where they stood when they are prepared again', async () => {
      await build(2, 2)
      const resumed = subject.other().store.generations.at(2)
      await resumed.prepare(identity)
      expect((await resumed.checkpoint(subject.name, 0)).position).toBe(2n)
      expect(await resumed.applyBatch(batch(2, 1n))).toBe('fenced')
      await writeLog(resumed, 2, 3)
      await resumed.complete()
      await resumed.complete()
      expect(await subject.shown(resumed)).toEqual([1, 2, 3])
    })

    it('are completed although somebody who died is still at it', async () => {
      const building = [store, subject.other().store].map((each) => each.generations.at(2))
      for (const each of building) await each.prepare(identity)
      const [built] = building
      if (!built) throw new Error('there is none')
      await writeLog(built, 0, 3)
      await Promise.all(building.map((each) => each.complete()))
      expect(await subject.shown(built)).toEqual([1, 2, 3])
    })

    it('take book-keeping, and what was skipped and comes late, while they are built', async () => {
      const built = await build(2, 1)
      const records: string[] = []
      const parking = { record: async () => void records.push('parked'), skipped: [2n] }
      const parked = { ...batch(2, 1n), ...subject.effect(9, 2n), ...parking }
      expect(await built.applyBatch(parked as Batch)).toBe('applied')
      expect(await built.applyBatch(parked as Batch)).toBe('fenced')
      const draining = { to: 2n, late: [2n], record: async () => void records.push('drained') }
      expect(await built.applyBatch(batch(2, 2n, draining))).toBe('applied')
      expect(records).toEqual(['parked', 'drained'])
      if (built.skipped) expect(await built.skipped(subject.name)).toEqual([])
      expect(await subject.shown(built)).toEqual([1, 2, 9])
      expect(await live()).toEqual([1, 2, 3])
    })

    it('are swapped at the end of the log; who writes the former one is fenced', async () => {
      const built = await build(2, 2)
      const late = subject.other().store
      await late.prepare(identity)
      let writing: Promise<'applied' | 'fenced'> | undefined
      const reach = async () => {
        await writeLog(built, 2, 4)
        writing = late.applyBatch(batch(7, 3n))
        expect(await live()).toEqual([1, 2, 3])
        return 4n
      }
      await store.generations.swap(becomes(2, { reach, partitions: [1, 2] }))
      expect(await writing).toBe('fenced')
      // At the very same position as the new one.
      expect(await late.applyBatch(batch(8, 4n))).toBe('fenced')
      expect(await late.applyBatch(batch(8, 4n, { partition: 1 }))).toBe('fenced')
      expect([await live(), await subject.shown(late), await subject.shown(store)]).toEqual([
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [1, 2, 3, 4],
      ])
      expect((await subject.checkpoints()).map(({ partition, position }) => [partition, position])).toEqual([
        [1, 4n],
        [2, 4n],
      ])
      await late.prepare(identity)
      expect(await late.checkpoint(subject.name, 2)).toEqual({ position: 4n, logIdentity: identity })
      expect(await late.applyBatch(batch(5, 4n, { partition: 2 }))).toBe('applied')
      expect(await live()).toEqual([1, 2, 3, 4, 5])
    })

    it('are swapped once: repeated, only the book-keeping is', async () => {
      await build(2, 3)
      await store.generations.swap(becomes(2))
      await store.prepare(identity)
      await writeLog(store, 3, 4)
      let reached = 0
      const reach = async () => {
        reached += 1
        return 9n
      }
      await subject.other().store.generations.swap(becomes(2, { reach }))
      expect([reached, await live(), await store.checkpoint(subject.name, 0)]).toEqual([
        0,
        [1, 2, 3, 4],
        { position: 4n, logIdentity: identity },
      ])
    })

    it('are swapped as they stand, when nobody brings them to the end of the log', async () => {
      await build(2, 3)
      await store.generations.swap(becomes(2))
      await store.prepare(identity)
      await writeLog(store, 3, 5)
      await store.generations.swap(becomes(1, { reach: undefined }))
      await store.prepare(identity)
      expect([await live(), await store.checkpoint(subject.name, 0)]).toEqual([
        [1, 2, 3],
        { position: 3n, logIdentity: identity },
      ])
      await writeLog(store, 3, 4)
      expect(await live()).toEqual([1, 2, 3, 4])
    })

    if (addsUp)
      it('are not swapped in where another process has taken them beyond the position', async () => {
        const built = await build(2, 3)
        const reach = async () => {
          await writeLog(built, 3, 4)
          return 3n
        }
        await expect(store.generations.swap(becomes(2, { reach }))).rejects.toThrow(EngineUnavailable)
        expect(await live()).toEqual([1, 2, 3])
        await store.prepare(identity)
        await writeLog(store, 3, 4)
        await store.generations.swap(becomes(2, { reach: async () => 4n }))
        expect(await live()).toEqual([1, 2, 3, 4])
      })

    it('lead on who still asks the former one, also when a swap back to it was undone', async () => {
      await build(2, 3)
      const reader = subject.other().store
      expect(await subject.shown(reader)).toEqual([1, 2, 3])
      await store.generations.swap(becomes(2))
      await store.generations.at(1).prepare(identity)
      const record = () => Promise.reject(new Error('it failed here'))
      await expect(store.generations.swap(becomes(1, { record }))).rejects.toThrow('it failed here')
      await store.prepare(identity)
      await writeLog(store, 3, 4)
      expect(await subject.shown(reader)).toEqual([1, 2, 3, 4])
    })

    it('keep seals of the whole log, unless it is read as a whole again', async () => {
      await build(2, 3)
      expect(await store.applyBatch(batch(0, 3n, { ...subject.effect(3, 3n), to: seal(3n) }))).toBe('applied')
      await store.generations.swap(becomes(2, { partitions: [1] }))
      await store.prepare(identity)
      expect((await store.checkpoint(subject.name, 0)).position).toBe(seal(3n))
      expect((await store.checkpoint(subject.name, 1)).position).toBe(3n)
      const back = store.generations.at(1)
      await back.prepare(identity)
      await store.generations.swap(becomes(1))
      await store.prepare(identity)
      expect((await store.checkpoint(subject.name, 0)).position).toBe(3n)
    })

    it('stay as they are when a swap fails, and are written again', async () => {
      await build(2, 3)
      const failing = () => Promise.reject(new Error('it failed here'))
      for (const over of [{ reach: failing }, { record: failing }]) {
        await expect(store.generations.swap(becomes(2, over))).rejects.toThrow('it failed here')
        expect(await live()).toEqual([1, 2, 3])
      }
      await store.prepare(identity)
      await writeLog(store, 3, 4)
      await build(2, 4)
      await store.generations.swap(becomes(2, { reach: async () => 4n }))
      expect(await live()).toEqual([1, 2, 3, 4])
    })

    it('are written again when who swaps them dies in the middle', async () => {
      await build(2, 3)
      const swapper = subject.other()
      let swapping: Promise<void> | undefined
      let die = (): void => undefined
      const dead = new Promise<bigint>((_, reject) => {
        die = () => reject(new Error('gone'))
      })
      await new Promise<void>((begun) => {
        const reach = () => {
          begun()
          return dead
        }
        swapping = swapper.store.generations.swap(becomes(2, { reach }))
        swapping.catch(() => undefined)
      })
      swapper.lose()
      await subject.database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and state = 'idle in transaction' and pid <> pg_backend_pid()`,
      )
      const writer = subject.other().store
      await writer.prepare(identity)
      await writeLog(writer, 3, 4)
      expect(await live()).toEqual([1, 2, 3, 4])
      die()
      await expect(swapping).rejects.toThrow()
      await build(2, 4)
      await store.generations.swap(becomes(2, { reach: async () => 4n }))
      expect(await live()).toEqual([1, 2, 3, 4])
    })

    it('are swapped when who swaps them dies right after that was decided', async () => {
      expect(await subject.shown(store)).toEqual([1, 2, 3])
      await build(2, 2)
      const swapper = subject.other()
      const change = becomes(2, { reach: async () => 2n })
      const record: Swap['record'] = async (transaction) => {
        await change.record(transaction)
        swapper.lose()
      }
      await swapper.store.generations.swap({ ...change, record }).catch(nothing)
      // Where the former one stands may lie beyond a log that was put back: nobody must be told that it is the live one.
      if (subject.reader) {
        await subject.database.query(
          "insert into platform.generations (projection, generation, version, state) values ($1, 1, 1, 'kept')",
          [subject.name],
        )
        const standing = await standingElsewhere(subject.database, { [subject.name]: subject.reader })
        expect(standing.map(({ consumer, position }) => [consumer, position])).toEqual([
          [subject.name, 2n],
          [`${subject.name}@1`, 3n],
        ])
      }
      const writer = subject.other().store
      await writer.prepare(identity)
      expect((await writer.checkpoint(subject.name, 0)).position).toBe(2n)
      await writeLog(writer, 2, 3)
      expect(await live()).toEqual([1, 2, 3])
      await store.generations.swap(change)
      expect(await live()).toEqual([1, 2, 3])
    })

    it('are swapped back to the one that was kept, which catches up first', async () => {
      await build(2, 3)
      await store.generations.swap(becomes(2))
      await store.prepare(identity)
      await writeLog(store, 3, 5)
      const kept = store.generations.at(1)
      await kept.prepare(identity)
      expect((await kept.checkpoint(subject.name, 0)).position).toBe(3n)
      const reach = async () => {
        await writeLog(kept, 3, 5)
        return 5n
      }
      await store.generations.swap(becomes(1, { reach }))
      expect(await store.applyBatch(batch(9, 5n))).toBe('fenced')
      await store.prepare(identity)
      await writeLog(store, 5, 6)
      expect(await live()).toEqual([1, 2, 3, 4, 5, 6])
      expect(await store.generations.highest()).toBe(2)
    })

    it('are dropped, also when they are not there, and built anew', async () => {
      await build(2, 3)
      await store.generations.drop(2)
      await store.generations.drop(2)
      await store.generations.drop(7)
      expect([await store.generations.highest(), await live()]).toEqual([1, [1, 2, 3]])
      expect(await subject.shown(await build(2, 1))).toEqual([1])
      await build(2, 3)
      await store.generations.swap(becomes(2))
      await store.generations.drop(1)
      expect([await store.generations.highest(), await live()]).toEqual([2, [1, 2, 3]])
    })

    it('take their parked events with them', async () => {
      await build(2, 3)
      const park = (projection: string, stream: string) =>
        subject.database.query(
          `insert into platform.parked_events (projection, stream, revision, position, partition, event, status)
           values ($1, $2, 0, 1, 0, '{}', 'failed')`,
          [projection, stream],
        )
      const parked = async () =>
        (
          await subject.database.query<{ text: string }>(
            `select projection || ' ' || stream as text from platform.parked_events order by text`,
          )
        ).map(({ text }) => text)
      await park(subject.name, 'of-the-first')
      await park(`${subject.name}@2`, 'of-the-second')
      await store.generations.swap(becomes(2))
      expect(await parked()).toEqual([`${subject.name} of-the-second`, `${subject.name}@1 of-the-first`])
      await store.generations.swap(becomes(1))
      expect(await parked()).toEqual([`${subject.name} of-the-first`, `${subject.name}@2 of-the-second`])
      await store.generations.drop(2)
      expect(await parked()).toEqual([`${subject.name} of-the-first`])
    })

    it('take no book-keeping of a late writer into the new one', async () => {
      await build(2, 3)
      const late = subject.other().store
      await late.prepare(identity)
      await store.generations.swap(becomes(2))
      let recorded = 0
      const record = async () => {
        recorded += 1
      }
      expect(await late.applyBatch(batch(4, 3n, { record, skipped: [4n] }))).toBe('fenced')
      expect(await late.applyBatch(batch(4, 3n, { record, to: 3n, late: [4n] }))).toBe('fenced')
      expect(recorded).toBe(0)
    })

    it('are whole to who asks without end while they are swapped to and fro', async () => {
      const built = await build(2, 2)
      await built.applyBatch({ ...batch(0, 2n), ...subject.effect(30, 3n) })
      const reader = subject.other().store
      const seen = new Set<string>()
      let over = false
      const reading = (async () => {
        while (!over) seen.add((await subject.shown(reader)).join())
      })()
      try {
        for (let to = 2, swaps = 0; swaps < 10; swaps += 1, to = to === 1 ? 2 : 1) {
          await store.generations.at(to).prepare(identity)
          await store.generations.swap(becomes(to))
        }
      } finally {
        over = true
        await reading
      }
      expect([...seen].sort()).toEqual(['1,2,3', '1,2,30'])
    })
  })
}
