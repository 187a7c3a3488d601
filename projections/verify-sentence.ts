/** A difference, as the service has it or as it comes over HTTP. */
export interface TellableDifference {
  readonly key: string
  readonly kind: 'missing' | 'unexpected' | 'differs'
  readonly field: string | null
  readonly expected: string | null
  readonly found: string | null
  readonly withheld?: 'personal' | 'secret' | 'index'
  readonly since: {
    readonly position: bigint | string
    readonly stream: string
    readonly revision: bigint | string
    readonly type: string
  } | null
}

const reasons = {
  personal: 'differs (personal)',
  secret: 'differs (not shown)',
  index: 'is not what the document makes of it',
}

const what = ({ kind, field, expected, found, withheld }: TellableDifference): string => {
  switch (kind) {
    case 'missing':
      return 'is missing'
    case 'unexpected':
      return 'is there, and no event of the log makes it'
    case 'differs':
      return `${field} ${withheld ? reasons[withheld] : `should be ${expected}, is ${found}`}`
  }
}

/** One line for people. */
export const tellDifference = (projection: string, difference: TellableDifference): string => {
  const { key, since } = difference
  const from = since ? `; since position ${since.position} (${since.stream}@${since.revision} ${since.type})` : ''
  return `${projection} ${key}: ${what(difference)}${from}`
}
