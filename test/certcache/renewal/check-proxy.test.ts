import { beforeAll, expect, test } from 'vitest'
import { toPem } from '../../../ca/pem.ts'
import { formatProxyFile, parseProxyFile } from '../../../ca/proxy-file.ts'
import { checkStoredProxy, checkNewProxy } from '../../../src/certcache/renewal/check-proxy.ts'
import { makeCredential } from '../../support/authority.ts'
import {
  endEntityRequest,
  makeAuthority,
  makeEndEntity,
  makeProxy,
  now,
  proxyRequest,
} from '../../support/issuing.ts'
import { issueEndEntity } from '../../../ca/end-entity.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { issueProxy } from '../../../ca/proxy.ts'
import { sharedKey } from '../../support/keys.ts'

const wanted = { name: 'gwms_proxy', type: 'impersonation', now } as const

interface Made {
  readonly pem: string
  readonly limited: string
  readonly stranger: string
  readonly unrelated: string
  readonly endEntity: string
  readonly root: string
}
let made: Made

beforeAll(async () => {
  const authority = await makeAuthority('ec-p256')
  const endEntity = await makeEndEntity(authority, 'ec-p256')
  const proxy = await makeProxy(endEntity, 'ec-p256')
  const limited = await issueProxy(endEntity, {
    ...(await proxyRequest(endEntity, 'ec-p256')),
    type: 'limited',
  })
  const eec = endEntity.certificate.der
  const others = await makeEndEntity(await makeAuthority('ec-p384'), 'ec-p384')
  const nobody = await issueEndEntity(authority, {
    ...(await endEntityRequest('ec-p256')),
    subject: parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=somebody-else@iam'),
  })
  made = {
    pem: formatProxyFile(proxy.der, undefined, [eec]),
    limited: formatProxyFile(limited, undefined, [eec]),
    stranger: formatProxyFile(proxy.der, undefined, [others.certificate.der]),
    unrelated: formatProxyFile(proxy.der, undefined, [nobody]),
    endEntity: toPem('CERTIFICATE', eec),
    root: formatProxyFile(proxy.der, undefined, [eec, authority.certificate.der]),
  }
})

const key = async () =>
  ({ privateKey: await sharedKey('ec-p256', 'proxy'), format: 'pkcs1' }) as const

test('a sound answer becomes a whole file', async () => {
  const proxy = checkNewProxy(made.pem, await key(), wanted)
  expect(proxy).toMatchObject({ name: 'gwms_proxy', obtainedAt: now })
  expect(proxy.notAfter).toEqual(new Date('2026-11-24T00:00:00Z'))
  expect(proxy.subject.startsWith(`${proxy.identity}/CN=`)).toBe(true)
  const file = parseProxyFile(proxy.pem.toString())
  expect(file.labels).toEqual(['CERTIFICATE', 'PRIVATE KEY', 'CERTIFICATE'])
  // The same again when it is read back.
  const again = checkStoredProxy(proxy.pem.toString(), { ...wanted, obtainedAt: now })
  expect(again).toEqual(proxy)
})

test.for([
  ['pkcs1', 'RSA PRIVATE KEY'],
  ['pkcs8', 'PRIVATE KEY'],
] as const)('an RSA key in format %s', async ([format, label]) => {
  const rsa = await makeCredential({ now })
  const pem = formatProxyFile(rsa.proxy.der, undefined, [rsa.endEntity.der])
  const proxy = checkNewProxy(pem, { privateKey: rsa.proxyKey, format }, wanted)
  expect(parseProxyFile(proxy.pem.toString()).labels[1]).toBe(label)
})

test('a root that is sent along does no harm', async () => {
  expect(checkNewProxy(made.root, await key(), wanted).notAfter).toBeInstanceOf(Date)
})

test('a clock that is behind takes what is not valid yet', async () => {
  const behind = new Date(now.getTime() - 600_000)
  const proxy = checkNewProxy(made.pem, await key(), { ...wanted, now: behind })
  expect(proxy.obtainedAt).toEqual(behind)
})

const refused: readonly (readonly [string, () => string, object, RegExp])[] = [
  ['nothing', () => '', {}, /cannot be read|no certificate/],
  ['an error page', () => '<p>grid-proxy-info failed</p>', {}, /cannot be read/],
  ['half a file', () => made.pem.slice(0, made.pem.length - 200), {}, /cannot be read/],
  [
    'a proxy without its EEC',
    () => made.pem.split(/(?=-----BEGIN)/)[0] ?? '',
    {},
    /followed by its EEC/,
  ],
  ['an EEC alone', () => made.endEntity, {}, /followed by its EEC/],
  ['an EEC twice', () => made.endEntity + made.endEntity, {}, /does not match its certificate/],
  ['an EEC that did not sign it', () => made.stranger, {}, /chain is not valid/],
  ["somebody else's EEC", () => made.unrelated, {}, /chain is not valid/],
  ['another kind', () => made.limited, {}, /its type must be impersonation/],
  [
    'not the kind that was asked for',
    () => made.pem,
    { type: 'limited' },
    /its type must be limited/,
  ],
  [
    'one that has ended',
    () => made.pem,
    { now: new Date('2026-11-24T00:00:00Z') },
    /it expired at/,
  ],
]
test.for(refused)('%s is not taken', async ([, pem, changes, message]) => {
  const privateKey = await key()
  expect(() => checkNewProxy(pem(), privateKey, { ...wanted, ...changes })).toThrow(
    expect.objectContaining({
      code: 'internal',
      check: 'proxy_refused',
      message: expect.stringMatching(message),
    }),
  )
})

test('a proxy for another key is not taken', async () => {
  const another = { ...(await key()), privateKey: await sharedKey('ec-p256', 'another') }
  expect(() => checkNewProxy(made.pem, another, wanted)).toThrow(/does not match its certificate/)
})
