/** The CA of the peers: an RSA-2048 key, as that of our EECs, under a root. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Paths of PEM files. */
export interface PeerAuthority {
  readonly root: string
  readonly intermediate: string
  /** The intermediate and then the root. */
  readonly chain: string
  /** PKCS#8, not encrypted. */
  readonly key: string
}

const run = promisify(execFile)

export async function makePeerAuthority(directory: string): Promise<PeerAuthority> {
  await mkdir(directory, { recursive: true })
  const path = (name: string): string => join(directory, name)
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  const caExtensions = [
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign',
  ]
  await openssl('req', '-x509', ...newKey, '-keyout', path('root.key'), '-out', path('root.crt'), [
    ['-days', '30', '-subj', '/O=Bench/CN=Root'],
    caExtensions.flatMap((extension) => ['-addext', extension]),
  ])
  await openssl('req', ...newKey, '-keyout', path('ca.key'), '-out', path('ca.csr'), [
    ['-subj', '/O=Bench/CN=Intermediate'],
  ])
  // Fulcio requires codeSigning; step-ca issues for TLS.
  const usages = 'extendedKeyUsage=codeSigning,clientAuth,serverAuth'
  await writeFile(path('extensions'), [...caExtensions, usages].join('\n'))
  await openssl('x509', '-req', '-in', path('ca.csr'), '-out', path('ca.crt'), '-days', '29', [
    ['-CA', path('root.crt'), '-CAkey', path('root.key'), '-extfile', path('extensions')],
  ])
  const chain = await Promise.all(
    ['ca.crt', 'root.crt'].map((name) => readFile(path(name), 'utf8')),
  )
  await writeFile(path('chain.crt'), chain.join(''))
  return {
    root: path('root.crt'),
    intermediate: path('ca.crt'),
    chain: path('chain.crt'),
    key: path('ca.key'),
  }
}

async function openssl(
  ...words: readonly (string | readonly (readonly string[])[])[]
): Promise<void> {
  await run('openssl', words.flat(2))
}
