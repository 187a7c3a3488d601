import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export type Server = 'postgres' | 'redis' | 'kafka' | 'elasticsearch'

/** The script that starts and breaks the servers of this run; unset: nobody breaks anything. */
const script = process.env.ORDERLOG_TEST_SERVERS

export const mayBreakServers = script !== undefined

/** `kill` is SIGKILL, `pause` SIGSTOP; `up` returns when the server answers. */
export const server = async (command: 'kill' | 'up' | 'pause' | 'resume', name: Server): Promise<void> => {
  if (!script) throw new Error('ORDERLOG_TEST_SERVERS is unset')
  await promisify(execFile)(script, [command, name])
}
