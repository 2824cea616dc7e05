import { defineConfig } from 'vitest/config'

/**
 * `npm run test:fuzz`: generators of bad input against a running service. Longer than tests, and as long as it is told.
 */
export default defineConfig({
  test: {
    include: ['test/fuzz/**/*.fuzz.ts'],
    testTimeout: 3_600_000,
    hookTimeout: 60_000,
    maxWorkers: 1,
    disableConsoleIntercept: true,
  },
})
