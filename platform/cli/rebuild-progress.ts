import { MultiBar, type SingleBar } from 'cli-progress'
import type { RebuildView } from '../../schemas/views.ts'
import { progressOf, shortProgressOf } from './rebuild-text.ts'

/** Shows how far rebuilds are. */
export interface ProgressDisplay {
  /** @param waiting why nothing new is known */
  show(rebuilds: readonly RebuildView[], waiting?: string): void
  /** Leaves the last picture standing. */
  end(): void
}

/** Shows nothing: for `--json`. */
export const noProgress: ProgressDisplay = { show: () => undefined, end: () => undefined }

const createBars = (stream: NodeJS.WriteStream): ProgressDisplay => {
  const bars = new Map<string, SingleBar>()
  const picture = new MultiBar({
    format: '{name} {bar} {percentage} % {text}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 16,
    stream,
    fps: 5,
    hideCursor: true,
    // A signal is ours to answer: the rebuild goes on, and we say so.
    gracefulExit: false,
    autopadding: true,
  })
  return {
    show: (rebuilds, waiting) => {
      const width = Math.max(...rebuilds.map(({ projection }) => projection.length))
      for (const rebuild of rebuilds) {
        const text = waiting ?? shortProgressOf(rebuild)
        const payload = { name: rebuild.projection.padEnd(width), text }
        const bar = bars.get(rebuild.projection)
        if (bar) bar.update(rebuild.percent, payload)
        else bars.set(rebuild.projection, picture.create(100, rebuild.percent, payload))
      }
    },
    end: () => picture.stop(),
  }
}

/** One line a second at most, the one that has waited longest of those with something new. */
const createLines = (stream: NodeJS.WritableStream, now: () => number): ProgressDisplay => {
  const printed = new Map<string, { readonly line: string; readonly at: number }>()
  let last = Number.NEGATIVE_INFINITY
  return {
    show: (rebuilds, waiting) => {
      if (now() - last < 1_000) return
      const [next] = rebuilds
        .map((rebuild) => ({
          name: rebuild.projection,
          line: `${rebuild.projection}: ${waiting ?? `${rebuild.percent} %, ${progressOf(rebuild)}`}`,
        }))
        .filter(({ name, line }) => printed.get(name)?.line !== line)
        .sort((a, b) => (printed.get(a.name)?.at ?? -1) - (printed.get(b.name)?.at ?? -1))
      if (!next) return
      last = now()
      printed.set(next.name, { line: next.line, at: last })
      stream.write(`${next.line}\n`)
    },
    end: () => undefined,
  }
}

/**
 * A bar for each projection on a terminal, plain lines anywhere else.
 *
 * @param now milliseconds of a clock that does not go back
 */
export const createProgressDisplay = (
  stream: NodeJS.WriteStream,
  now: () => number = () => performance.now(),
): ProgressDisplay => (stream.isTTY ? createBars(stream) : createLines(stream, now))
