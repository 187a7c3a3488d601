import { type Logger as PinoLogger, pino } from 'pino'

export type Logger = PinoLogger

/** Structured logs on standard error, so that standard output stays free for what a command prints. */
export const createLogger = (level: string): Logger =>
  pino({ level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: false }))

/** For tests and tools that want no log. */
export const silentLogger: Logger = pino({ level: 'silent' })
