import { join } from 'node:path'
import { configDefaults, defineConfig } from 'vitest/config'

/** Pure functions and what keeps nothing at module level: their files share a worker, and load each module once. */
const shared = ['ca', 'config', 'domain', 'grants', 'limits', 'migration', 'regexp', 'tokens'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
)

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
      {
        extends: true,
        test: {
          name: 'isolated',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...shared],
        },
      },
      { extends: true, test: { name: 'shared', include: shared, isolate: false } },
    ],
  },
})
