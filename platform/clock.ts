/** The time of day, passed in so that deciders stay pure and tests can turn it. */
export interface Clock {
  now(): Date
}

export const systemClock: Clock = { now: () => new Date() }
