/**
 * A real Keycloak: what its tokens, grants and accounts do at our service. All cases are in one file, because Keycloak
 * starts once for it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installKeycloak } from '../../support/keycloak-distribution.ts'
import { type Keycloak, startKeycloak } from '../../support/keycloak.ts'
import { accountCases } from './account-cases.ts'
import { documentCases } from './document-cases.ts'
import { exchangeCases } from './exchange-cases.ts'
import { loginCases } from './login-cases.ts'
import { tokenCases } from './token-cases.ts'

const NAME = 'with a real Keycloak'
const installation = await installKeycloak()

if ('missing' in installation) {
  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(NAME, () => {
    test(`NOT RUN: ${installation.missing}`, () => {
      expect.fail(installation.missing)
    })
  })
} else {
  describe(NAME, () => {
    let started: Keycloak | undefined
    const keycloak = (): Keycloak => {
      if (started === undefined) throw new Error('Keycloak has not started yet')
      return started
    }
    beforeAll(async () => {
      started = await startKeycloak(installation.home)
    }, 150_000)
    afterAll(async () => started?.stop())
    documentCases(keycloak)
    tokenCases(keycloak)
    exchangeCases(keycloak)
    accountCases(keycloak)
    loginCases(keycloak)
  })
}
