import { giveWay } from './thread-priority.ts'

/** The program of a thread that loads generations: it gives way before it does anything, starting included. */

giveWay()
await import('./compose-rebuild-load.ts')
