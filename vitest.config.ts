import { join } from 'node:path'
import { configDefaults, defineConfig } from 'vitest/config'

/**
 * Files that need a process of their own: they replace a module of Node or the clock, change the environment, or
 * measure the process itself. All others share workers, which load each module once. So a module with helpers for
 * tests must not register hooks when it is loaded: `onTestFinished` in its functions does the same.
 */
const isolated = [
  'test/attacks/**',
  'test/backup/create-files.test.ts',
  'test/certcache/outputs/accounts.test.ts',
  'test/certcache/server/request-flood.test.ts',
  'test/certcache/thirty-days.test.ts',
  'test/demo/refresh.test.ts',
  'test/faults/**',
  'test/files/input-file.test.ts',
  'test/network/node.test.ts',
  'test/plugins/executable-account.test.ts',
]

const testsIn = (pattern: string): string => pattern.replace(/\*\*$/, '**/*.test.ts')

export default defineConfig({
  test: {
    testTimeout: 90_000,
    hookTimeout: 60_000,
    // As good as the test's own end: a busy machine is slow, not wrong. The default is one second.
    expect: { poll: { timeout: 60_000 } },
    maxWorkers: 2,
    // The programs that tests start are compiled once for all of them.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/node') },
    projects: [
      { extends: true, test: { name: 'isolated', include: isolated.map(testsIn) } },
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...isolated],
          isolate: false,
        },
      },
    ],
  },
})
