/** A refused form says what is wrong in the user's words, at the right field, and keeps the values. */
import { expect, test } from 'vitest'
import { secondsOf } from '../../src/web/pages/form-fields.ts'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const everybody = { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] }
const service = useTestService(
  withLogin({
    services: {
      proxy: { authz: everybody },
      x509: { authz: everybody },
      none: { plugin: 'x509-proxy', credential_limit: 0, authz: everybody },
      ssh: { plugin: 'ssh-certificate', authz: everybody },
    },
  }),
)

async function send(id: string, values: Record<string, string>) {
  const browser = new Browser(service())
  await browser.logIn('alice')
  const path = `/services/${id}`
  const form = { ...fieldsOf((await browser.ask(path)).text, path), ...values }
  return browser.ask(path, { form })
}

// Some expressions need minutes for this, in which the service answers nobody.
test('a long value needs no long time', { timeout: 20_000 }, () => {
  const long = `1${' '.repeat(200_000)}x`
  expect(secondsOf(long)).toBe(long)
  expect(secondsOf(`1${' '.repeat(200_000)}h`)).toBe(3600)
  expect(secondsOf('1'.repeat(100))).toBe('1'.repeat(100))
})

test('a long value is not repeated in full', async () => {
  const text = plain((await send('proxy', { p_lifetime_seconds: `x${'y'.repeat(1000)}` })).text)
  expect(text).toContain(`“x${'y'.repeat(59)}…” is not a lifetime.`)
})

const plain = (html: string): string =>
  html
    .replaceAll(/<[^>]+>/g, '')
    .replaceAll('&#34;', '"')
    .replaceAll(/\s+/g, ' ')
    .trim()

const lifetime = 'lifetime_seconds'
const bounds = 'at least one minute, at most 168 hours'
const unread = (value: string): string =>
  `“${value}” is not a lifetime. Write a number of hours, or of minutes or days with the unit, for example 12 or 2 days (${bounds}).`
const outside = (value: string): string => `“${value}” is too short or too long: ${bounds}.`
const rows: readonly (readonly [string, Record<string, string>, string, string])[] = [
  ['proxy', { p_lifetime_seconds: 'a week' }, lifetime, unread('a week')],
  ['proxy', { p_lifetime_seconds: '-1' }, lifetime, unread('-1')],
  ['proxy', { p_lifetime_seconds: '1e9' }, lifetime, unread('1e9')],
  ['proxy', { p_lifetime_seconds: '12 weeks' }, lifetime, unread('12 weeks')],
  ['proxy', { p_lifetime_seconds: '5 hays' }, lifetime, unread('5 hays')],
  ['proxy', { p_lifetime_seconds: '5 dours' }, lifetime, unread('5 dours')],
  ['proxy', { p_lifetime_seconds: '1.000,5' }, lifetime, unread('1.000,5')],
  ['proxy', { p_lifetime_seconds: '.001' }, lifetime, outside('.001')],
  ['proxy', { p_lifetime_seconds: '10 days' }, lifetime, outside('10 days')],
  ['proxy', { p_lifetime_seconds: '0' }, lifetime, outside('0')],
  ['proxy', { p_lifetime_seconds: '1000' }, lifetime, outside('1000')],
  ['proxy', { p_lifetime_seconds: '99999999' }, lifetime, outside('99999999')],
  ['proxy', { p_lifetime_seconds: '999999999999' }, lifetime, outside('999999999999')],
  ['proxy', { p_path_length: 'x' }, 'path_length', 'Must be a whole number from 0 to 100.'],
  ['proxy', { p_path_length: '99999' }, 'path_length', 'Must be at most 100.'],
  [
    'proxy',
    { p_key_type: 'nonsense' },
    'key_type',
    'Must be one of rsa-2048, rsa-3072, rsa-4096, ec-p256.',
  ],
  ['proxy', { p_key_format: 'nonsense' }, 'key_format', 'Must be one of pkcs1, pkcs8.'],
  [
    'proxy',
    { p_csr: 'x', p_key_format: 'pkcs8' },
    'key_format',
    'Must not be combined with “Certificate signing request”, which brings its own key.',
  ],
  [
    'proxy',
    { p_csr: 'x', p_key_type: 'rsa-2048' },
    'key_type',
    'Must not be combined with “Certificate signing request”, which brings its own key.',
  ],
  [
    'x509',
    { p_csr: 'garbage' },
    'csr',
    'Malformed CSR: send exactly one PKCS#10 request, in DER or PEM ("CERTIFICATE REQUEST").',
  ],
  ['ssh', {}, 'public_key', 'Fill in this field.'],
  [
    'ssh',
    { p_public_key: 'garbage' },
    'public_key',
    'Malformed public key: it must begin with its type, for example ssh-ed25519.',
  ],
]

test.for(rows)('%s %j', async ([id, values, key, expected]) => {
  const { status, text } = await send(id, values)
  expect(status).toBe(400)
  const errors = [...text.matchAll(/<p class="error" id="([^"]+)">([^]*?)<\/p>/g)]
  expect(errors.map(([, name = '', words = '']) => [name, plain(words)])).toEqual([
    [`f0-${key}-error`, expected],
  ])
  const [control = ''] =
    new RegExp(`<(input|textarea|select)[^>]* name="p_${key}"[^>]*>`).exec(text) ?? []
  expect(control).toContain(`aria-describedby="f0-${key}-hint f0-${key}-error"`)
  expect(control).toContain('aria-invalid="true"')
  const [, summary = ''] = /<div class="box bad" role="alert">([^]*?)<\/div>/.exec(text) ?? []
  expect(summary).toContain(`href="#f0-${key}"`)
  expect(plain(summary)).toMatch(
    /^No credential was issued\. Correct [A-Z][\w ]+ and send the form again\.$/,
  )
  const kept = text.slice(text.indexOf('<main'))
  const typed = Object.entries(values).filter(([, value]) => value !== 'nonsense')
  for (const [, value] of typed) expect(kept).toContain(value)
})

test.for([
  ['12', 12 * 60],
  ['12h', 12 * 60],
  ['0,5', 30],
  ['.5', 30],
  ['1 day', 24 * 60],
  ['3 hrs', 180],
  ['45 mins', 45],
  ['90 min', 90],
  ['2 days', 48 * 60],
  [' 3 Hours ', 180],
] as const)('a lifetime of "%s"', async ([text, minutes]) => {
  const { status } = await send('proxy', { p_lifetime_seconds: text })
  expect(status).toBe(200)
  const { store } = service().running.service
  const [view] = await store.listCredentials({ serviceId: 'proxy', limit: 1 })
  if (view?.notAfter === undefined) throw new Error('no credential is recorded')
  const life = (view.notAfter.getTime() - view.issuedAt.getTime()) / 60_000
  expect(Math.abs(life - minutes)).toBeLessThan(1)
})

test('the limit of credentials: what to do', async () => {
  const { status, text } = await send('none', {})
  expect(status).toBe(429)
  expect(plain(text)).toContain(
    'No credential was issued: you already have as many valid credentials from this service as it allows. Wait until one expires, or revoke one under Issued to you.',
  )
})
