/** Whom a pool lets in: what HTCondor makes of a proxy, and of a line of its map file. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { examine } from '../../../ca/doctor/examine.ts'
import { withCommonName } from '../../../ca/name.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { baseName, type ChainPlan } from '../../support/certificate-builder.ts'
import {
  type CredentialDirectory,
  openIssuedCredential,
  openPlannedCredential,
} from '../../support/credential-directory.ts'
import { openGridSite } from '../../support/grid-site.ts'
import { type CondorPool, startCondorPool } from '../../support/htcondor.ts'

const DN = '/C=EU/O=INDIGO/OU=TTS/CN=9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test'
const line = (dn: string): string => `SSL "${dn}" pilot@tts`
const DAY_MS = 86_400_000
const voms = { fqans: ['/cms/Role=production', '/cms'] }

const joins = { ADVERTISE_STARTD: 'pilot@tts', WRITE: 'pilot@tts', READ: 'pilot@tts' }
/** Authenticated, but nobody whom the pool knows. */
const unmapped = { ADVERTISE_STARTD: 'refused', WRITE: 'ssl@unmapped', READ: 'ssl@unmapped' }
/** HTCondor accepts TLS without a client certificate. */
const anonymous = {
  ADVERTISE_STARTD: 'refused',
  WRITE: 'unauthenticated@unmapped',
  READ: 'unauthenticated@unmapped',
}
const refused = { ADVERTISE_STARTD: 'refused', WRITE: 'refused', READ: 'refused' }

/** A pool that trusts the CA of the credential; both end with the test. */
async function openPool(root: string, credential: CredentialDirectory, settings?: string) {
  onTestFinished(() => credential.close())
  const site = await openGridSite({ ...credential, identity: DN })
  onTestFinished(() => site.close())
  const pool = await startCondorPool(root, site, settings)
  onTestFinished(() => pool.stop())
  await pool.map([line(DN)])
  const proxy = await pool.addProxy(credential.proxyPath)
  return { pool, proxy }
}

/** Why OpenSSL refused the last certificate that the collector saw. */
async function lastRefusal(pool: CondorPool): Promise<string | undefined> {
  return [...(await pool.log('CollectorLog')).matchAll(/ err \d+:(.*)$/gm)].at(-1)?.[1]
}

export function identityCases(root: string): void {
  describe('HTCondor maps', () => {
    let pool: CondorPool
    let close: () => Promise<void>
    beforeAll(async () => {
      const credential = await openIssuedCredential()
      const site = await openGridSite(credential)
      pool = await startCondorPool(root, site)
      close = async () => {
        await pool.stop()
        await site.close()
        await credential.close()
      }
    })
    afterAll(() => close())

    const show = async (credential: CredentialDirectory, env = {}) => {
      onTestFinished(() => credential.close())
      return pool.ping(await pool.addProxy(credential.proxyPath), env)
    }

    test.for([
      { name: 'a proxy', options: {} },
      { name: 'a limited proxy, like any other', options: { type: 'limited' } as const },
      { name: 'a proxy of an EC EEC', options: { endEntityKey: 'ec-p256' } as const },
      { name: 'a proxy with VOMS attributes', options: { voms } },
    ])('$name by the DN of its EEC', async ({ options }) => {
      await pool.map([line(DN)])
      expect(await show(await openIssuedCredential(options))).toEqual(joins)
    })

    test('all whose DN an anchored expression matches', async () => {
      await pool.map([String.raw`SSL /^\/C=EU\/O=INDIGO\/OU=TTS\/CN=/ pilot@tts`])
      expect(await show(await openIssuedCredential())).toEqual(joins)
    })

    test('a proxy with VOMS attributes by DN and FQANs, with USE_VOMS_ATTRIBUTES', async () => {
      await pool.configure('USE_VOMS_ATTRIBUTES = True')
      onTestFinished(() => pool.configure(''))
      const fqans = ',/cms/Role=production/Capability=NULL,/cms/Role=NULL/Capability=NULL'
      const answers = []
      for (const entry of [
        line(DN),
        line(`${DN}${fqans}`),
        String.raw`SSL /^\/C=EU\/O=INDIGO\/OU=TTS\/CN=[^,]+,(.*,)?\/cms\/Role=production\// pilot@tts`,
      ]) {
        await pool.map([entry])
        answers.push(await show(await openIssuedCredential({ voms })))
      }
      expect(answers).toEqual([unmapped, joins, joins])
    })

    test('a name in DENY_WRITE, which may still do what pilots do', async () => {
      await pool.map([line(DN)])
      await pool.configure('DENY_WRITE = pilot@tts')
      onTestFinished(() => pool.configure(''))
      expect(await show(await openIssuedCredential())).toEqual({ ...joins, WRITE: 'refused' })
    })

    test('not a proxy that has ended', async () => {
      await pool.map([line(DN)])
      const ended = await openIssuedCredential({ now: new Date(Date.now() - 5 * DAY_MS) })
      expect(await show(ended)).toEqual(refused)
      expect(await lastRefusal(pool)).toBe('certificate has expired')
    })

    test.for<{ name: string; plan: ChainPlan }>([
      { name: 'of an unknown CA with the same name', plan: {} },
      { name: 'of an unknown intermediate CA', plan: { intermediate: {} } },
    ])('not a proxy $name', async ({ plan }) => {
      await pool.map([line(DN)])
      expect(await show(await openPlannedCredential(plan))).toEqual(refused)
      expect(await lastRefusal(pool)).toBe('unable to get local issuer certificate')
    })

    test.for([
      { name: 'nobody', lines: [] },
      { name: 'somebody else', lines: [line(`${DN}2`)] },
      { name: 'a name that only begins like this one', lines: [line(DN.slice(0, -1))] },
      { name: 'the DN of the proxy', lines: [line(`${DN}/CN=1234`)] },
      { name: 'another method', lines: [line(DN).replace('SSL', 'FS')] },
    ])('nobody by a line for $name', async ({ lines }) => {
      await pool.map(lines)
      expect(await show(await openIssuedCredential())).toEqual(unmapped)
    })

    test.for([
      { name: 'by default', env: { _CONDOR_AUTH_SSL_USE_CLIENT_PROXY_ENV_VAR: 'False' } },
      { name: 'that is not there', env: { X509_USER_PROXY: '/tmp/site/none' } },
    ])('nobody when the client shows no proxy: $name', async ({ env }) => {
      await pool.map([line(DN)])
      expect(await show(await openIssuedCredential(), env)).toEqual(anonymous)
    })
  })

  test.for(['robot/jane', 'a+b', 'say "hi"', 'a\\b', 'Jane (test) [1]*'])(
    'HTCondor maps the name %s as the doctor says that it is written',
    async (name) => {
      const subject = withCommonName(baseName, name)
      const credential = await openPlannedCredential({ endEntity: { subject } })
      const { pool, proxy } = await openPool(root, credential)
      const proxyFile = parseProxyFile(credential.text)
      const said = examine({ proxyFile, now: new Date() })
        .filter(({ rule }) => rule === 'name-map-file')
        .map(({ sentence }) => /written "(.*)"; older/.exec(sentence)?.[1])
      expect(said.length).toBe(name.startsWith('Jane') ? 0 : 1)
      await pool.map([line(said[0] ?? `/C=EU/O=INDIGO/OU=TTS/CN=${name}`)])
      expect(await pool.ping(proxy)).toEqual(joins)
    },
  )

  test('HTCondor refuses proxies where pool.config does not allow them', async () => {
    const setting = 'AUTH_SSL_ALLOW_CLIENT_PROXY = False'
    const { pool, proxy } = await openPool(root, await openIssuedCredential(), setting)
    expect(await pool.ping(proxy)).toEqual(refused)
    expect(await lastRefusal(pool)).toMatch(/^proxy certificates not allowed/)
  })

  test('without CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS a line maps each DN that it is found in', async () => {
    const setting = 'CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS = False'
    const { pool, proxy } = await openPool(root, await openIssuedCredential(), setting)
    await pool.map([line(DN.slice(0, -1))])
    expect(await pool.ping(proxy)).toEqual(joins)
  })
}
