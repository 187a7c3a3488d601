import type { Checkpoints } from '../../sagas/checkpoint.ts'
import type { InstanceRow, SagaTables } from '../../sagas/tables.ts'

export interface MemorySagaTables extends SagaTables {
  readonly rows: ReadonlyMap<string, InstanceRow>
  readonly broken: ReadonlyMap<string, string>
  readonly timers: ReadonlyMap<string, { readonly orderId: string; readonly name: string; readonly dueAt: string }>
}

const claimableAt = ({ dueAt, claimedUntil = '' }: { dueAt: string; claimedUntil?: string }): string =>
  dueAt > claimedUntil ? dueAt : claimedUntil

/** The tables of schema `saga` in memory. */
export const createMemorySagaTables = (): MemorySagaTables => {
  const rows = new Map<string, InstanceRow>()
  const broken = new Map<string, string>()
  const timers = new Map<string, { orderId: string; name: string; dueAt: string; claimedUntil?: string }>()
  const keyOf = (orderId: string, name: string) => `${orderId} ${name}`
  return {
    rows,
    broken,
    timers,
    save: async (row) => {
      if ((rows.get(row.orderId)?.revision ?? -1n) > row.revision) return
      rows.set(row.orderId, row)
      broken.delete(row.orderId)
      const wanted = new Map(row.timers.map((timer) => [keyOf(row.orderId, timer.name), timer]))
      for (const [key, timer] of timers)
        if (timer.orderId === row.orderId && !timer.name.startsWith('refund:') && !wanted.has(key)) timers.delete(key)
      for (const [key, { name, dueAt }] of wanted)
        if (timers.get(key)?.dueAt !== dueAt) timers.set(key, { orderId: row.orderId, name, dueAt })
    },
    saveBroken: async (orderId, error) => {
      broken.set(orderId, error)
    },
    asideOrders: async () => [...broken.keys()],
    setTimer: async (orderId, name, dueAt) => {
      timers.set(keyOf(orderId, name), { orderId, name, dueAt: dueAt.toISOString() })
    },
    clearTimer: async (orderId, name) => {
      timers.delete(keyOf(orderId, name))
    },
    claimTimers: async (now, until, limit) => {
      const due = [...timers.values()].filter((timer) => claimableAt(timer) <= now.toISOString()).slice(0, limit)
      for (const timer of due) timer.claimedUntil = until.toISOString()
      return due
    },
    nextTimer: async () => [...timers.values()].map(claimableAt).sort()[0],
  }
}

/** `rewind` makes the feed deliver again what came after a position. */
export const createMemoryCheckpoints = (): Checkpoints & { rewind(position: bigint): void } => {
  let checkpoint = 0n
  return {
    read: async () => checkpoint,
    save: async (_partition, position) => {
      if (position > checkpoint) checkpoint = position
    },
    rewind: (position) => {
      if (position < checkpoint) checkpoint = position
    },
  }
}
