import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { examine } from '../../ca/doctor/examine.ts'
import type { RelyingParty } from '../../ca/doctor/relying-parties.ts'
import { fileCases, keyCases, proxyCases, timeCases } from '../ca/doctor/cases.ts'
import { certificateCases } from '../ca/doctor/certificate-cases.ts'
import { makePatient } from '../ca/doctor/patient.ts'
import { trustCases } from '../ca/doctor/trust-cases.ts'
import type { CredentialFiles } from '../support/grid-site.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

/**
 * The doctor against the parties themselves. Rules on which the two differ from each other or from OpenSSL; all cases
 * were compared when they were written, and take minutes.
 */
const compared = new Set([
  'key-rsa-too-small',
  'key-ec-proxy',
  'digest-pss-proxy',
  'proxy-not-begun',
  'ends-after-2049',
  'ca-ends-after-2049',
  'file-no-proxy',
  'file-mode-not-private',
  'proxy-cert-info-not-critical',
  'proxy-path-length-exceeded',
  'proxy-subject-alternative-name',
  'critical-extension-unknown',
  'critical-extension-unknown-to-globus',
  'end-entity-under-ca-name',
  'ca-no-basic-constraints',
  'trust-ca-missing',
  'signing-policy-quotes',
  'signing-policy-no-last-newline',
])
const cases = [
  ...keyCases,
  ...timeCases,
  ...fileCases,
  ...proxyCases,
  ...certificateCases,
  ...trustCases,
]
  // One of each rule: the first.
  .filter(({ rule }, index, all) => all.findIndex((other) => other.rule === rule) === index)
  .filter(({ rule }) => compared.has(rule))

interface Party {
  readonly name: RelyingParty
  readonly packages: readonly string[]
  readonly check: (credential: CredentialFiles) => Promise<string | undefined>
}
const parties: readonly Party[] = [
  { name: 'GridFTP', packages: gridFtpPackages, check: checkGridFtp },
  { name: 'XRootD', packages: xrootdPackages, check: checkXrootd },
]

for (const { name: party, packages, check } of parties) {
  describeWithTools(`the doctor and ${party}`, packages, () => {
    test.for(cases)('agree on $rule', async (one) => {
      const directory = await mkdtemp(join(tmpdir(), 'tts-patient-'))
      try {
        const now = new Date()
        const { text, files, examination } = await makePatient({
          ...one,
          plan: { now, ...one.plan },
        })
        const trustAnchorDir = join(directory, 'trust-anchors')
        const proxyPath = join(directory, 'proxy')
        await mkdir(trustAnchorDir)
        for (const file of files) await writeFile(join(trustAnchorDir, file.name), file.content)
        await writeFile(proxyPath, text, { mode: 0o600 })
        await chmod(proxyPath, one.fileFacts?.mode ?? 0o600)
        const refusal = await check({ proxyPath, trustAnchorDir })
        const foretold = examine(examination).some(
          ({ severity, relyingParties }) =>
            severity === 'refuses' && relyingParties.includes(party),
        )
        expect(refusal !== undefined, refusal ?? 'it was accepted').toBe(foretold)
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    })
  })
}
