/** What the tests of both clients need: a service that delegates, and the examples of the READMEs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { formatSlashDn } from '../../ca/name-text.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { delegating } from '../api/delegation-support.ts'
import { opensslRefusal } from '../support/openssl.ts'
import type { TestService, TestServiceOptions } from '../support/service.ts'

export const clientDirectory = (name: string): string =>
  join(import.meta.dirname, '../../clients', name)

/** A service with a limit that a client runs into: two proxies, then one a second. */
export const clientService: TestServiceOptions = delegating({
  more: {
    limits: {
      key_pool_size: 0,
      recorded_refusals_per_minute: 1_000_000,
      credentials_per_second_per_identity: 1,
      burst_per_identity: 2,
    },
  },
})

/** The first code block of a README in this language. */
export function exampleOf(client: string, language: string): string {
  const readme = readFileSync(join(clientDirectory(client), 'README.md'), 'utf8')
  const [, code = ''] = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(readme) ?? []
  expect(code).not.toBe('')
  return code
}

/** Checks a proxy file as a relying party does, by openssl, and returns the name of its person. */
export async function verifiedPerson(service: TestService, pem: string): Promise<string> {
  const [leaf, ...untrusted] = parseProxyFile(pem).certificates
  if (leaf === undefined) throw new Error('no proxy')
  const anchors = [service.running.service.authority.certificate]
  expect(await opensslRefusal({ leaf, untrusted, anchors, now: new Date() })).toBeUndefined()
  const key = createPrivateKey(
    /-----BEGIN (RSA )?PRIVATE KEY-----[^-]+-----END .*/.exec(pem)?.[0] ?? '',
  )
  expect(new X509Certificate(leaf.der).checkPrivateKey(key)).toBe(true)
  return /\/CN=([^/]*)@indigo-iam-test/.exec(formatSlashDn(leaf.subject))?.[1] ?? ''
}

/** A server at https whose certificate nobody trusts. `requests` counts those that it gets all the same. */
export async function untrustedServer(): Promise<{ readonly url: string; requests(): number }> {
  const words = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
  ]
  const subject = ['-subj', '/CN=self-signed', '-addext', 'subjectAltName=IP:127.0.0.1']
  const out = ['-keyout', '-', '-out', '-']
  const pem = execFileSync('openssl', [...words, ...subject, ...out], { stdio: 'pipe' })
  let count = 0
  const server = createServer({ key: pem, cert: pem }, (_request, response) => {
    count += 1
    response.end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => count,
  }
}
