/** Each relying party accepts the proxy that the library issues, with and without VOMS attributes. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatSlashDn } from '../../ca/name-text.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { type CredentialDirectory, openIssuedCredential } from '../support/credential-directory.ts'
import { gridCertDiagnostics } from '../support/grid-checks.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { arcClientPackages, arcServerParty, checkArcClient } from '../support/parties/arc.ts'
import { canlCParty } from '../support/parties/canl-c.ts'
import { arcproxyParty, globusParty, vomsParty } from '../support/parties/commands.ts'
import { canlJavaParty, vomsJavaParty } from '../support/parties/java.ts'
import { myProxyParty } from '../support/parties/myproxy.ts'
import { type Party, partyOfOne, type PatientFiles } from '../support/parties/party.ts'
import { curlParty, gridSiteParty, opensslParty, xrootdHttpsParty } from '../support/parties/tls.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

const parties: readonly (Omit<Party, 'name'> & { readonly name: string })[] = [
  globusParty,
  vomsParty,
  arcproxyParty,
  canlJavaParty,
  opensslParty,
  vomsJavaParty,
  curlParty,
  canlCParty,
  gridSiteParty,
  xrootdHttpsParty,
  myProxyParty,
  partyOfOne('GridFTP', gridFtpPackages, checkGridFtp),
  partyOfOne('XRootD', xrootdPackages, checkXrootd),
  arcServerParty,
  { ...partyOfOne('GridFTP', arcClientPackages, checkArcClient), name: 'ARC client' },
  {
    ...partyOfOne('Globus', ['globus-proxy-utils'], checkDiagnostics),
    name: 'grid-cert-diagnostics',
  },
]

const voms = { fqans: ['/cms/Role=production', '/cms', '/cms/uscms'] }
const credentials: CredentialDirectory[] = []
beforeAll(async () => {
  for (const options of [{}, { voms }, { voms, intermediate: true }]) {
    const credential = await openIssuedCredential(options)
    await credential.writeCrls({ revoke: false })
    credentials.push(credential)
  }
})
afterAll(() => Promise.all(credentials.map((credential) => credential.close())))

async function checkDiagnostics(patient: PatientFiles): Promise<string | undefined> {
  const { status, output } = await gridCertDiagnostics(patient)
  return status === 0 ? undefined : output
}

function patientOf({ text, ...files }: CredentialDirectory): PatientFiles {
  const [, endEntity] = parseProxyFile(text).certificates
  return { ...files, identity: formatSlashDn(endEntity?.subject ?? []) }
}

for (const party of parties)
  describeWithTools(party.name, party.packages, () => {
    test('accepts the proxy with and without VOMS attributes', { timeout: 120_000 }, async () => {
      const refusals = await party.judge(credentials.map(patientOf))
      expect(refusals).toEqual([undefined, undefined, undefined])
    })
  })

describeWithTools('ARC server', arcServerParty.packages, () => {
  test('refuses those of an authority that it does not know', async () => {
    const untrusting = credentials.slice(0, 2).map((credential) => {
      const { vomsDir, ...patient } = patientOf(credential)
      expect(vomsDir).toBeDefined()
      return patient
    })
    const [without, withAttributes] = await arcServerParty.judge(untrusting)
    expect(without).toBeUndefined()
    expect(withAttributes).toMatch(/VOMS attribute (processing|validation|parsing) failed/)
  })
})
