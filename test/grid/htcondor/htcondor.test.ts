/**
 * A real HTCondor pool with the settings of deploy/htcondor: whom it lets in with our proxies, and for how long.
 * It runs from a directory with Debian 13, which the first run on a machine makes in half a minute.
 */
import { describe, expect, test } from 'vitest'
import { makeDebianRoot } from '../../support/debian-root.ts'
import { condorRoot } from '../../support/htcondor.ts'
import { doctorCases } from './doctor-cases.ts'
import { identityCases } from './identity-cases.ts'
import { pilotCases } from './pilot-cases.ts'

const NAME = 'with a real HTCondor'
const made = await makeDebianRoot(condorRoot)

if ('missing' in made) {
  const required = made.isFault && process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(NAME, () => {
    test(`NOT RUN: ${made.missing}`, () => {
      expect.fail(made.missing)
    })
  })
} else {
  describe(NAME, () => {
    pilotCases(made.directory)
    identityCases(made.directory)
    doctorCases(made.directory)
  })
}
