import { defineConfig } from 'vitest/config'

/** Bounds are there to end a test that hangs; on a busy machine everything may take many times as long as usual. */
const patience = { hookTimeout: 180_000, expect: { poll: { timeout: 60_000 } } }

/**
 * `x.test.ts` needs nothing and is run by `npm run test:unit` (`--project unit`); `x.int.test.ts` uses PostgreSQL, which
 * the global set-up starts when ORDERLOG_TEST_DATABASE_URL names none. `x.faults.test.ts` breaks the servers that others
 * use and is run by itself, with ORDERLOG_TEST_SERVERS.
 */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['**/*.int.test.ts', '**/*.faults.test.ts', '**/node_modules/**', 'dist/**'],
          testTimeout: 60_000,
          ...patience,
        },
      },
      {
        test: {
          name: 'int',
          include: ['**/*.int.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 180_000,
          ...patience,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['**/*.faults.test.ts'],
          exclude: ['**/node_modules/**', 'dist/**'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 300_000,
          fileParallelism: false,
          ...patience,
        },
      },
    ],
  },
})
