import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { errors as jose } from 'jose'
import { describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { createLog, serializeError } from '../../src/base/log.ts'
import { redactText } from '../../src/base/redact.ts'

const part = (): string => randomBytes(24).toString('base64url')
const jwt = `eyJhbGciOiJSUzI1NiJ9.eyJ${part()}.${part()}`
const password = `p-${randomBytes(6).toString('hex')}`
const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()

describe('redactText', () => {
  // prettier-ignore
  test.for([
    { name: 'JWT', text: `bad token ${jwt}!`, clean: 'bad token [token]!' },
    { name: 'JWT without signature', text: jwt.split('.').slice(0, 2).join('.'), clean: '[token]' },
    { name: 'two JWTs', text: `${jwt} ${jwt}`, clean: '[token] [token]' },
    { name: 'JWE of five parts', text: `${jwt}.${part()}.${part()}`, clean: '[token]' },
    { name: 'JWT in JSON', text: `{"t":"${jwt}"}`, clean: '{"t":"[token]"}' },
    { name: 'opaque bearer', text: `Authorization: Bearer ${password}`, clean: 'Authorization: Bearer [token]' },
    { name: 'bearer in capitals', text: `BEARER ${password}"`, clean: 'Bearer [token]"' },
    { name: 'PEM key', text: `key ${pem} end`, clean: 'key [private key]\n end' },
    { name: 'PEM key, cut', text: pem.slice(0, 100), clean: '[private key]' },
    { name: 'PEM key, encrypted', text: `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${password}`, clean: '[private key]' },
    { name: 'PEM key, RSA', text: `-----BEGIN RSA PRIVATE KEY-----\n${password}\n-----END RSA PRIVATE KEY-----`, clean: '[private key]' },
    { name: 'PEM key in one JSON line', text: JSON.stringify(pem), clean: `"[private key]\\n"` },
    { name: 'password in a URL', text: `postgres://tts:${password}@db/tts`, clean: 'postgres://tts:[password]@db/tts' },
    { name: 'password with @', text: `postgres://tts:a@${password}@db/tts`, clean: 'postgres://tts:[password]@db/tts' },
    { name: 'password with a slash', text: `postgres://tts:a/${password}@db/tts`, clean: 'postgres://tts:[password]@db/tts' },
    { name: 'password and no user', text: `redis://:${password}@db`, clean: 'redis://:[password]@db' },
    { name: 'parameters of a form', text: `grant_type=x&refresh_token=${password}&client_secret=${password}&scope=a`, clean: 'grant_type=x&refresh_token=[secret]&client_secret=[secret]&scope=a' },
    { name: 'harmless', text: 'GET https://iam.example.org:8443/jwk answered 503 in 12 ms', clean: 'GET https://iam.example.org:8443/jwk answered 503 in 12 ms' },
    { name: 'a certificate', text: '-----BEGIN CERTIFICATE-----\nMII', clean: '-----BEGIN CERTIFICATE-----\nMII' },
  ])('$name', ({ text, clean }) => {
    expect(redactText(text)).toBe(clean)
  })

  test('is bounded in length, and looks no further than that', () => {
    for (const unit of [
      'eyJ',
      'a://',
      'Bearer ',
      'a:',
      '-----BEGIN PRIVATE KEY',
      'x',
      'eyJaaaaa.',
    ]) {
      expect(redactText(unit.repeat(2_000_000)).length, unit).toBeLessThanOrEqual(4000)
    }
  })
})

describe('serializeError', () => {
  test('an allow-list: what libraries hang on errors stays out', () => {
    const error = Object.assign(new Error('no'), {
      code: 'E_X',
      payload: { sub: password },
      body: jwt,
      config: { password },
    })
    const logged = serializeError(error)
    expect(Object.keys(logged).toSorted()).toEqual(['code', 'message', 'name', 'stack'])
    expect(JSON.stringify(logged)).not.toContain(password)
  })

  test('causes are followed, redacted, and not for ever', () => {
    const loop = new Error(`deep ${jwt}`)
    loop.cause = new Error(`deeper ${jwt}`, { cause: loop })
    const text = JSON.stringify(serializeError(loop))
    expect(text).not.toContain(jwt)
    expect(text.match(/"cause"/g)).toHaveLength(4)
  })

  // prettier-ignore
  test.for([
    { name: 'text', thrown: `no ${jwt}` },
    { name: 'undefined', thrown: undefined },
    { name: 'null', thrown: null },
    { name: 'object', thrown: { message: password } },
    { name: 'symbol', thrown: Symbol('x') },
  ])('whatever is thrown: $name', ({ thrown }) => {
    const logged = serializeError(thrown)
    expect(logged.name).toBe('NonError')
    expect(JSON.stringify(logged)).not.toContain(jwt)
    expect(JSON.stringify(logged)).not.toContain(password)
  })

  test('an object that cannot be made a text', () => {
    const hostile = {
      toString: () => {
        throw new Error('no')
      },
    }
    expect(serializeError(hostile).name).toBe('NonError')
    expect(serializeError(Object.create(null)).name).toBe('NonError')
  })
})

describe('the log', () => {
  function logged(write: (log: ReturnType<typeof createLog>) => void): string {
    const lines: string[] = []
    write(
      createLog({
        level: 'debug',
        name: 'test',
        destination: { write: (line) => void lines.push(line) },
      }),
    )
    return lines.join('')
  }

  test('a claim error of jose: its claims stay out', () => {
    const error = new jose.JWTExpired(
      'expired',
      { sub: password, email: `${password}@example.org` },
      'exp',
      'check_failed',
    )
    const text = logged((log) => log.error({ err: error }, 'refused'))
    expect(text).toContain('ERR_JWT_EXPIRED')
    expect(text).not.toContain(password)
  })

  test('an error of Express’s reader: its body stays out', () => {
    const error = Object.assign(new SyntaxError('bad'), {
      body: `subject_token=${jwt}`,
      type: 'entity.parse.failed',
    })
    expect(
      logged((log) => log.error({ err: new TtsError('internal', 'x', { cause: error }) }, 'no')),
    ).not.toContain(jwt)
  })

  // prettier-ignore
  test.for([
    { name: 'an error alone', write: (log: Log) => log.error(new Error(`no ${jwt}`)) },
    { name: 'an error and a text', write: (log: Log) => log.error(new Error(`no ${jwt}`), `text ${jwt}`) },
    { name: 'a text alone', write: (log: Log) => log.warn(`text ${jwt}`) },
    { name: 'a text with a place', write: (log: Log) => log.info('text %s', jwt) },
    { name: 'a text after fields', write: (log: Log) => log.info({ event: 'x' }, `text ${jwt}`) },
    { name: 'a field by its name', write: (log: Log) => log.info({ token: jwt, passphrase: jwt, client_secret: jwt }, 'x') },
    { name: 'a field below', write: (log: Log) => log.info({ headers: { authorization: `Bearer ${jwt}`, cookie: jwt } }, 'x') },
    { name: 'a field far below', write: (log: Log) => log.info({ a: { b: { c: { access_token: jwt } } } }, 'x') },
    { name: 'a field in a list', write: (log: Log) => log.info({ list: [[{ refresh_token: jwt }]] }, 'x') },
    { name: 'a field deeper than anybody looks', write: (log: Log) => log.info({ a: { b: { c: { d: { e: { f: { g: jwt } } } } } } }, 'x') },
    { name: 'a field of an object without prototype', write: (log: Log) => log.info({ a: Object.assign(Object.create(null) as object, { password: jwt }) }, 'x') },
    { name: 'a child', write: (log: Log) => log.child({ request: 'r' }).error({ err: new Error(jwt) }, jwt) },
    { name: 'a field of a child', write: (log: Log) => log.child({ token: jwt }).info('x') },
    { name: 'a field of the child of a child', write: (log: Log) => log.child({ a: 1 }).child({ password: jwt }).info('x') },
  ])('no token: $name', ({ write }) => {
    const text = logged(write)
    expect(text).not.toContain(jwt)
    expect(text).not.toContain(jwt.split('.')[2])
    expect(JSON.parse(text)).toMatchObject({ name: 'test', level: expect.any(String) as string })
  })

  test('what is no secret stays as it is', () => {
    const fields = { n: 1, list: [1, { a: 'b' }], at: new Date(0), none: null, deep: { er: true } }
    const text = logged((log) => log.info({ ...fields, token: jwt, deeper: { token: jwt } }, 'x'))
    expect(JSON.parse(text)).toMatchObject({
      ...fields,
      at: '1970-01-01T00:00:00.000Z',
      token: '[redacted]',
      deeper: { token: '[redacted]' },
    })
  })

  type Log = ReturnType<typeof createLog>
})
