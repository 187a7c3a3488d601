/** A share of all keys: those whose hash ends with these bits. */
export interface Bucket {
  readonly bits: number
  readonly ending: number
}

export const everything: Bucket = { bits: 0, ending: 0 }

/** FNV-1a, 32 bits. */
const hashOf = (key: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  // The low bits of FNV alone are poor.
  return hash ^ (hash >>> 15)
}

export const isIn = ({ bits, ending }: Bucket, key: string): boolean =>
  bits === 0 || (hashOf(key) & ((1 << bits) - 1)) === ending

/**
 * Holds a bounded number of keys: when there are more, half of them are left for a later pass over the log.
 *
 * @param later takes the share that was given up
 */
export const createShare = <Value>(bucket: Bucket, most: number, later: (bucket: Bucket) => void) => {
  let mine = bucket
  const held = new Map<string, Value>()
  return {
    held,
    includes: (key: string): boolean => isIn(mine, key),
    set: (key: string, value: Value): void => {
      held.set(key, value)
      while (held.size > most && mine.bits < 30) {
        const { bits, ending } = mine
        later({ bits: bits + 1, ending: ending | (1 << bits) })
        mine = { bits: bits + 1, ending }
        for (const each of held.keys()) if (!isIn(mine, each)) held.delete(each)
      }
    },
  }
}
