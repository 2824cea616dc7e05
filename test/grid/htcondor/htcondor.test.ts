/**
 * A real HTCondor pool with the settings of deploy/htcondor: whom it lets in with our proxies, and for how long.
 * It runs from a directory with Debian 13, which the first run on a machine makes in half a minute.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDebianRoot } from '../../support/debian-root.ts'
import { condorRoot } from '../../support/htcondor.ts'
import { doctorCases } from './doctor-cases.ts'
import { identityCases } from './identity-cases.ts'
import { pilotCases } from './pilot-cases.ts'
import { type PilotWorld, startPilotWorld } from './support.ts'

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
    let world: PilotWorld | undefined
    beforeAll(async () => {
      world = await startPilotWorld(made.directory)
    })
    afterAll(() => world?.stop())

    identityCases(made.directory)
    doctorCases(made.directory)
    // Last, because some wait until the first proxies of the pilots have ended.
    pilotCases(made.directory, () => {
      if (world === undefined) throw new Error('the pilots have not started yet')
      return world
    })
  })
}
