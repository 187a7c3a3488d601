/** An engine cannot be reached or answers that it cannot serve now. Transient by nature: wait and try again. */
export class EngineUnavailable extends Error {
  readonly engine: string
  constructor(engine: string, cause: unknown) {
    super(`${engine} is unavailable: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'EngineUnavailable'
    this.engine = engine
  }
}

/** Another generation of a read model has become the live one since it was prepared for: nothing was written. */
export class GenerationReplaced extends EngineUnavailable {
  constructor(consumer: string) {
    super(consumer, new Error('another generation of it is live, or it was found ahead of the log'))
    this.name = 'GenerationReplaced'
  }
}

/** What Kafka holds is not what the log holds: nothing may be consumed until it is thrown away. */
export class TopicHeldBack extends EngineUnavailable {
  constructor(why: string) {
    super('Kafka', new Error(why))
    this.name = 'TopicHeldBack'
  }
}

/** So much waits for an engine already, or has waited so long, that it was not even asked: nothing was sent. */
export class NeverSent extends EngineUnavailable {
  constructor(engine: string, why: string) {
    super(engine, new Error(why))
    this.name = 'NeverSent'
  }
}

/**
 * The log no longer holds what this process has read of it: a backup was restored under it, or a standby promoted that
 * lagged behind. Whatever was derived from the lost events is wrong, so nothing is applied on top.
 */
export class LogWentBack extends Error {
  constructor(position: bigint) {
    super(`the log was put back: position ${position} is not the event that was read there; restart every process`)
    this.name = 'LogWentBack'
  }
}

/** Start-up cannot go on, and the reason is one sentence for the operator, not a stack. */
export class StartupError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StartupError'
  }
}

/** What was asked for has not been built yet, or is being built again from the log. */
export class ReadModelAbsent extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ReadModelAbsent'
  }
}
