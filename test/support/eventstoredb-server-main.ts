import { startEventStoreDbServer } from './eventstoredb-server.ts'

/**
 * The test server as a process of its own: `node eventstoredb-server-main.js [port] [file]`. It prints its address.
 * SIGKILL loses nothing that was acknowledged when a file is named; SIGSTOP hangs it, SIGCONT lets it go on.
 */
const [port = '2113', file] = process.argv.slice(2)
const server = await startEventStoreDbServer({ port: Number(port), ...(file ? { file } : {}) })
console.log(server.url)
const stop = () => void server.kill().finally(() => process.exit(0))
process.once('SIGTERM', stop).once('SIGINT', stop)
