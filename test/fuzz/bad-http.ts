/** What is written on a connection: HTTP that is nearly right, and worse. */
import type { Random } from './random.ts'

const METHODS = [
  'GET',
  'POST',
  'HEAD',
  'DELETE',
  'PUT',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'get',
  'G ET',
  '',
]

const TARGETS = [
  '/',
  '*',
  '//',
  '/%',
  '/%ff',
  '/%00',
  '/../../etc/passwd',
  '/v1/proxies',
  '/v1/proxies/',
  '/v1/proxies/successor',
  '/oauth2/token',
  '/v1/certificates',
  '/v1/credentials',
  '/v1/credentials/x',
  '/v1/delegations/x/proxies',
  '/api/v2/iam/credential',
  '/api/v1/service',
  '/api/v9/x/y/z',
  '/ca/crl.der',
  '/ca/../ca/ca.pem',
  '/healthz',
  '/readyz',
  '/metrics',
  '/openapi.json',
  '/problems/not_found',
  '/login/callback?code=x&state=y',
  '/rsp/x',
  '/download',
  '/services/proxy',
  'http://[::1',
  'http://tts.test/healthz',
  'https://user:pw@tts.test:99999/',
  'ftp://x/',
  'healthz',
]

const HEADERS = [
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Content-Length: 5\r\nContent-Length: 6',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, identity',
  'Content-Encoding: gzip',
  'Content-Type: application/json',
  'Content-Type: application/x-www-form-urlencoded; charset=utf-7',
  'Content-Type: multipart/form-data; boundary=x',
  'Accept: application/json',
  'Accept: text/html',
  'Accept: ;q=,*/*;q=x',
  'Expect: 100-continue',
  'Expect: 200-ok',
  'Connection: keep-alive, Upgrade',
  'Upgrade: h2c',
  'Authorization: Bearer',
  'Authorization: Bearer x\r\nAuthorization: Bearer y',
  'Authorization: Basic eDp5',
  'Cookie: session=x; session=y; =; __Host-tts=%',
  'X-Forwarded-For: <script>, 127.0.0.1',
  'X-Request-Id: ../../x',
  'If-None-Match: "x", W/"y", *',
  'If-Modified-Since: yesterday',
  'Range: bytes=0-18446744073709551615,-1',
  'Sec-Fetch-Site: cross-site',
  'Origin: null',
  ': x',
  'X\0Y: z',
  ' folded: x',
]

const BODIES = [
  '',
  'hello',
  '5\r\nhello\r\n0\r\n\r\n',
  '-1\r\nx',
  'FFFFFFFFFFFFFFFF\r\nx',
  '0\r\nTrailer: x\r\n\r\n',
  '5;ext="\r\nhello\r\n0\r\n\r\n',
]

/** Bytes for one connection. */
export function anyHttp(random: Random): Buffer {
  if (random.chance(0.05)) return random.bytes(random.integer(400))
  const text = Array.from({ length: 1 + random.integer(3) }, () => message(random)).join('')
  const bytes = Buffer.from(text, 'latin1')
  if (random.chance(0.1)) bytes[random.integer(bytes.length)] = random.integer(256)
  return random.chance(0.1) ? bytes.subarray(0, random.integer(bytes.length)) : bytes
}

function message(random: Random): string {
  const target = random.chance(0.9) ? random.pick(TARGETS) : `/${random.text(40)}`
  const version = random.chance(0.9)
    ? 'HTTP/1.1'
    : random.pick(['HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP', ''])
  const headers = Array.from({ length: random.integer(5) }, () => random.pick(HEADERS))
  const host = random.chance(0.95) ? ['Host: tts.test'] : []
  const end = random.chance(0.95) ? '\r\n' : '\n'
  const line = `${random.pick(METHODS)} ${target} ${version}`
  return `${[line, ...host, ...headers].join(end)}${end}${end}${random.pick(BODIES)}`
}
