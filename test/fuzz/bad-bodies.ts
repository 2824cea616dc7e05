/** Bodies that go with a sound token: CSRs with bytes changed, and JSON of any shape. */
import type { Random } from './random.ts'

/** A CSR that is not the one it was made from, as DER or PEM. */
export function changedCsr(der: Buffer, random: Random): Buffer | string {
  const changed = random.pick<() => Buffer>([
    () => withBytes(der, random, 1),
    () => withBytes(der, random, 1 + random.integer(8)),
    () => der.subarray(0, random.integer(der.length)),
    () => Buffer.concat([der, random.bytes(1 + random.integer(64))]),
    () => withLength(der, random),
    () => nested(random),
    () => Buffer.concat([Buffer.of(0x30), random.bytes(random.integer(2000))]),
    () => random.bytes(random.integer(2000)),
  ])()
  if (random.chance(0.5)) return changed
  const label = random.pick([
    'CERTIFICATE REQUEST',
    'NEW CERTIFICATE REQUEST',
    'CERTIFICATE',
    'PUBLIC KEY',
    'X509 CRL',
    random.text(20),
  ])
  const lines = changed.toString('base64').replaceAll(/.{1,64}/g, '$&\n')
  const end = random.chance(0.9) ? `-----END ${label}-----\n` : random.text(30)
  return `${random.chance(0.1) ? random.text(40) : ''}-----BEGIN ${label}-----\n${lines}${end}`
}

function withBytes(der: Buffer, random: Random, count: number): Buffer {
  const copy = Buffer.from(der)
  for (let change = 0; change < count; change += 1)
    copy[random.integer(copy.length)] = random.integer(256)
  return copy
}

/** Lengths are where parsers fail. */
function withLength(der: Buffer, random: Random): Buffer {
  const at = random.integer(der.length)
  const length = random.pick([
    Buffer.of(0x80),
    Buffer.of(0x84, 0xff, 0xff, 0xff, 0xff),
    Buffer.of(0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    Buffer.of(0xff),
    Buffer.of(0),
  ])
  return Buffer.concat([der.subarray(0, at), length, der.subarray(at)])
}

function nested(random: Random): Buffer {
  let inner = random.bytes(random.integer(8))
  for (let depth = random.integer(200); depth > 0; depth -= 1) {
    if (inner.length > 120) return inner
    inner = Buffer.concat([Buffer.of(0x30, inner.length), inner])
  }
  return inner
}

const KEYS = [
  'csr',
  'lifetime_seconds',
  'key_type',
  'key_format',
  'proxy_type',
  'path_length',
  'service',
  'service_id',
  'params',
  'label',
  '__proto__',
  'constructor',
  'toString',
  '',
] as const

/** A JSON text: mostly objects with keys of ours, sometimes no JSON at all. */
export function anyJson(random: Random): string {
  if (random.chance(0.05)) return random.text(200)
  if (random.chance(0.05)) return `${'['.repeat(random.integer(9000))}1`
  const text = JSON.stringify(Object.fromEntries(entries(random, 3)))
  if (random.chance(0.1)) return text.slice(0, random.integer(text.length))
  return random.chance(0.1) ? text.replace('{', `{"__proto__":${anyValue(random, 2)},`) : text
}

function entries(random: Random, depth: number): [string, unknown][] {
  return Array.from({ length: random.integer(5) }, () => [
    random.chance(0.9) ? random.pick(KEYS) : random.text(20),
    valueOf(random, depth),
  ])
}

function valueOf(random: Random, depth: number): unknown {
  const simple = [
    random.text(40),
    random.integer(1e6),
    -random.integer(1e6),
    1e308,
    0.5,
    true,
    null,
    'proxy',
    'info',
    'rsa-2048',
    'limited',
    '3600',
  ]
  if (depth === 0 || random.chance(0.7)) return random.pick<unknown>(simple)
  if (random.chance(0.5)) return Object.fromEntries(entries(random, depth - 1))
  return Array.from({ length: random.integer(4) }, () => valueOf(random, depth - 1))
}

function anyValue(random: Random, depth: number): string {
  return JSON.stringify(valueOf(random, depth)) ?? 'null'
}
