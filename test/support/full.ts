/**
 * Whether long suites run in full (`npm run test:faults`): hundreds of kills, thirty days, attacks as large as they
 * were found. `npm test` runs shorter ones of the same kind, which fail too without the code that they guard.
 */
export const isFull = process.env['TTS_TEST_FULL'] === '1'
