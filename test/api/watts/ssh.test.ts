/**
 * The service of SSH certificates, whole: asked for over HTTP, let in by a real sshd, refused after revocation (KRL).
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readKrl } from '../../../ca/ssh/krl.ts'
import { readSshPublicKeyLine } from '../../../ca/ssh/public-key.ts'
import { describeWithTools } from '../../support/grid-tools.ts'
import { useTestService } from '../../support/service.ts'
import { lineOf, openSshPrivateKey, sshBlob, sshKeyPair } from '../../support/ssh-keys.ts'
import { type Sshd, sshPackages, sshRun, startSshd } from '../../support/sshd.ts'
import { ask, bearer } from '../support.ts'
import {
  cms,
  type Credential,
  errorText,
  json,
  serviceLine,
  wattsService,
  type Wire,
  wire,
} from './support.ts'

const service = useTestService(
  wattsService(
    {
      ssh: { plugin: 'ssh-certificate', maximum_lifetime_seconds: 7200, authz: { allow: cms } },
      roles: {
        plugin: 'ssh-certificate',
        settings: { principal_template: 'tts-{digest}' },
        authz: { allow: cms },
      },
    },
    { listen: { port: 0, plain: { port: 0 } } },
  ),
)

const token = (claims: object = { preferred_username: 'alice' }): string =>
  service().token('alice', { ...claims })

async function askFor(params: object, claims?: object, name = 'ssh'): Promise<Wire> {
  const headers = { ...bearer(token(claims)), ...json }
  const body = JSON.stringify({ service_id: name, params })
  return wire(`${service().url}/api/v2/iam/credential`, { method: 'POST', headers, body })
}

async function certificate(params: object, claims?: object, name = 'ssh'): Promise<Credential> {
  const redirect = await askFor(params, claims, name)
  expect(redirect.status, redirect.text).toBe(303)
  const picked = await wire(redirect.header('location') ?? '', { headers: bearer(token(claims)) })
  return picked.json()['credential'] as Credential
}

const publicKey = lineOf(sshBlob('ed25519'))
const krl = async (): Promise<Buffer> =>
  Buffer.from(await (await fetch(`${service().url}/ca/ssh/krl`)).arrayBuffer())
const authorityLine = async (): Promise<string> =>
  (await fetch(`${service().url}/ca/ssh/ca.pub`)).text()

describe('over HTTP', () => {
  test('certificate, principal, and the line of the CA; the record has the serial number', async () => {
    const { id, entries } = await certificate({ public_key: publicKey })
    expect(entries.map(({ name, save_as: saveAs }) => [name, saveAs])).toEqual([
      ['SSH Certificate', 'id_tts-cert.pub'],
      ['Principal', undefined],
      ['Certificate Authority', undefined],
    ])
    expect(entries[0]?.value).toMatch(/^ssh-ed25519-cert-v01@openssh\.com \S+ credential=/)
    expect(entries[0]?.value).toContain(`credential=${id},`)
    expect(entries[2]?.value).toBe(await authorityLine())
    const response = await ask(service(), `/v1/credentials/${id}`, {
      method: 'GET',
      token: token(),
    })
    const shown = (await response.json()) as { ssh_serial: string; not_after: string }
    expect(shown).toMatchObject({
      end_entity_serial: null,
      ssh_serial: expect.stringMatching(/^\d+$/) as string,
    })
    // The service's bound, not the plugin's 12 hours.
    const seconds = (Date.parse(shown.not_after) - Date.now()) / 1000
    expect(seconds).toBeGreaterThan(7100)
    expect(seconds).toBeLessThanOrEqual(7200)
  })

  test('what it takes is listed, and what is wrong is told', async () => {
    const line = await serviceLine(service(), 'ssh')
    expect(line?.['params']).toMatchObject([
      [
        { key: 'public_key', type: 'textarea', mandatory: true },
        { key: 'lifetime_seconds', mandatory: false },
      ],
    ])
    expect(errorText(await askFor({}), 400)).toBe('invalid parameter have been passed')
    expect(errorText(await askFor({ public_key: 'ssh-ed25519 x' }), 400)).toMatch(/^public_key: /)
    expect(errorText(await askFor({ public_key: publicKey, lifetime_seconds: 7201 }), 400)).toMatch(
      /^lifetime_seconds: found 7201; the service ssh gives at most 7200/,
    )
    expect(
      errorText(await askFor({ public_key: publicKey }, { preferred_username: 'root' }), 400),
    ).toMatch(/certificates for the account root are not issued/)
    expect(errorText(await askFor({ public_key: publicKey }, {}), 400)).toMatch(
      /did not send your account name/,
    )
  })

  test('settings are those of the service', async () => {
    const { entries } = await certificate({ public_key: publicKey }, {}, 'roles')
    expect(entries[1]?.value).toMatch(/^tts-[0-9a-f]{28}$/)
  })

  test('the list has who was revoked, and is not on the plain listener', async () => {
    const { id } = await certificate({ public_key: publicKey })
    const serial = BigInt(
      (await service().running.service.store.findCredential(id))?.sshSerial ?? 0,
    )
    expect(readKrl(await krl()).serials).not.toContain(serial)
    const deleted = await wire(`${service().url}/api/v2/iam/credential/${id}`, {
      method: 'DELETE',
      headers: bearer(token()),
    })
    expect(deleted.text).toBe('{"result":"ok"}')
    const list = readKrl(await krl())
    expect(list.serials).toContain(serial)
    expect(list.authority?.blob).toEqual(readSshPublicKeyLine(await authorityLine()).blob)
    const plain = service().running.plainUrl ?? ''
    expect((await fetch(`${plain}/ca/crl.der`)).status).toBe(200)
    for (const path of ['krl', 'ca.pub'])
      expect((await fetch(`${plain}/ca/ssh/${path}`)).status).toBe(404)
  })

  test('DELETE /v1/credentials/<id> revokes it too', async () => {
    const { id } = await certificate({ public_key: publicKey })
    const serial = BigInt(
      (await service().running.service.store.findCredential(id))?.sshSerial ?? 0,
    )
    const response = await ask(service(), `/v1/credentials/${id}?reason=keyCompromise`, {
      method: 'DELETE',
      token: token(),
    })
    expect(response.status).toBe(200)
    expect(readKrl(await krl()).serials).toContain(serial)
  })
})

describeWithTools('a real sshd', sshPackages, () => {
  let server: Sshd
  const path = (name: string): string => join(server.directory, name)
  beforeAll(async () => {
    server = await startSshd({
      config: [
        'TrustedUserCAKeys %DIRECTORY%/ca.pub',
        'RevokedKeys %DIRECTORY%/krl',
        'AuthorizedPrincipalsFile %DIRECTORY%/principals',
      ],
      files: {
        'ca.pub': await authorityLine(),
        krl: await krl(),
        principals: 'alice\n',
        id: openSshPrivateKey(sshKeyPair('ed25519').privateKey),
        'id.pub': publicKey,
      },
    })
  })
  afterAll(async () => server?.stop())

  test('lets the certificate in, and no longer after revocation; another one goes on', async () => {
    const [one, other] = [
      await certificate({ public_key: publicKey }),
      await certificate({ public_key: publicKey }),
    ]
    const login = async (credential: Credential) => {
      const file = path(`${credential.id}-cert.pub`)
      await writeFile(file, credential.entries[0]?.value ?? '')
      return sshRun(server, { identity: path('id'), certificate: file, command: 'echo in' })
    }
    expect(await login(one)).toMatchObject({
      status: 0,
      output: expect.stringContaining('in\n') as string,
    })
    expect(server.log()).toContain(`credential=${one.id}`)
    await wire(`${service().url}/api/v2/iam/credential/${one.id}`, {
      method: 'DELETE',
      headers: bearer(token()),
    })
    await writeFile(path('krl'), await krl())
    expect(await login(one)).toMatchObject({
      status: 255,
      output: expect.stringContaining('Permission denied') as string,
    })
    expect(await login(other)).toMatchObject({ status: 0 })
    // Without the certificate the key opens nothing.
    const bare = await sshRun(server, { identity: path('id'), command: 'echo in' })
    expect(bare.status).toBe(255)
  })
})
