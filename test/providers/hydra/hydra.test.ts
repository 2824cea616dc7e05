/** A real Ory Hydra: what its tokens and grants do at our service and in certcache. It starts once for this file. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildHydra } from '../../support/hydra-program.ts'
import { type Hydra, startHydra } from '../../support/hydra.ts'
import { documentCases } from './document-cases.ts'
import { endCases } from './end-cases.ts'
import { grantCases } from './grant-cases.ts'
import { loginCases } from './login-cases.ts'
import { createClients } from './support.ts'
import { tokenCases } from './token-cases.ts'

const NAME = 'with a real Ory Hydra'
const built = await buildHydra()

if ('missing' in built) {
  const required = built.isFault && process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(NAME, () => {
    test(`NOT RUN: ${built.missing}`, () => {
      expect.fail(built.missing)
    })
  })
} else {
  describe(NAME, () => {
    let started: Hydra | undefined
    const hydra = (): Hydra => {
      if (started === undefined) throw new Error('Hydra has not started yet')
      return started
    }
    beforeAll(async () => {
      started = await startHydra(built.program)
      await createClients(started)
    }, 90_000)
    afterAll(async () => started?.stop())
    tokenCases(hydra)
    grantCases(hydra)
    endCases(hydra, built.program)
    loginCases(hydra)
    documentCases(hydra)
  })
}
