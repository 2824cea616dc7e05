/** JGlobus, the library of older Java software of the grid, reads our proxy files. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { formatProxyFile, keyFormats, parseProxyFile } from '../../ca/proxy-file.ts'
import { openIssuedCredential } from '../support/credential-directory.ts'
import { missingPackages, runTool } from '../support/grid-tools.ts'
import { cachedMavenFiles, type MavenFile } from '../support/maven.ts'

const source = fileURLToPath(new URL('../support/java/ReadWithJGlobus.java', import.meta.url))
const IDENTITY = '/C=EU/O=INDIGO/OU=TTS/CN=9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test'

const ofDebian = (names: readonly string[]): readonly string[] =>
  names.map((name) => `/usr/share/java/${name}.jar`)
const jarsOfBoth = ofDebian(['log4j-1.2', 'commons-codec', 'commons-io', 'commons-logging'])

/** The release of the project itself, with the Bouncy Castle of its time: a newer one does not fit. */
const released: readonly MavenFile[] = [
  {
    group: 'org.jglobus',
    name: 'ssl-proxies',
    version: '2.1.0',
    type: 'jar',
    sha256: 'cbc5307bb468a67b1bd0f4ca0a775d5c894150e4bcfb40c2987ab191b3dd4cd2',
  },
  {
    group: 'org.bouncycastle',
    name: 'bcprov-jdk15on',
    version: '1.50',
    type: 'jar',
    sha256: '115b14a02b91fb03cb1866d6b311d33cd5518a9d8524dd63a14f19571e420404',
  },
]

/** What JGlobus says of the proxy file as the service writes it, and with its key in each format. */
async function readWith(jars: readonly string[]): Promise<readonly string[]> {
  const credential = await openIssuedCredential()
  onTestFinished(() => credential.close())
  const { certificates, privateKey } = parseProxyFile(credential.text)
  const [proxy, ...above] = certificates.map(({ der }) => der)
  if (proxy === undefined || privateKey === undefined) throw new Error('an incomplete proxy')
  const paths = [credential.proxyPath]
  for (const format of keyFormats) {
    const path = join(credential.directory, format)
    await writeFile(path, formatProxyFile(proxy, { privateKey, format }, above), { mode: 0o600 })
    paths.push(path)
  }
  const trust = `-DX509_CERT_DIR=${credential.trustAnchorDir}`
  const classPath = [...jars, ...jarsOfBoth].join(':')
  const { output } = await runTool('java', [trust, '-cp', classPath, source, ...paths])
  // log4j prints warnings before.
  return output.trim().split('\n').slice(-paths.length)
}

const packages = ['libjglobus-ssl-proxies-java', 'default-jdk-headless', 'maven'] as const
const absent = missingPackages(packages)
const maven =
  absent.length > 0
    ? { missing: `Debian package missing: ${absent.join(' ')}` }
    : await cachedMavenFiles(released)

if ('missing' in maven) {
  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)('JGlobus', () => {
    test(`NOT RUN: ${maven.missing}`, () => {
      expect.fail(maven.missing)
    })
  })
} else {
  describe('JGlobus', () => {
    test('2.1.0 verifies the proxy and delegates it; with the key in PKCS#8 it finds no key', async () => {
      const noKey = 'org.globus.gsi.CredentialException: no key'
      expect(await readWith(maven.paths)).toEqual([IDENTITY, IDENTITY, noKey])
    })

    test('with the changes of Debian it reads both formats', async () => {
      const jars = ofDebian(['jglobus-ssl-proxies', 'jglobus-jsse', 'bcprov'])
      expect(await readWith(jars)).toEqual([IDENTITY, IDENTITY, IDENTITY])
    })
  })
}
