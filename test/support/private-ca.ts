/** A private CA for TLS servers, made by openssl at run time, with the files and directories in which sites keep it. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface PrivateCa {
  /** PEM file with its certificate. */
  readonly file: string
  /** Directory as IGTF distributes it: `HASH.0`, `NAME.pem`, CRL, policies. */
  readonly gridDirectory: string
  /** Returns a key and certificate for a host name or IPv4 address, and their files. */
  issue(name: string): {
    readonly key: Buffer
    readonly cert: Buffer
    readonly keyFile: string
    readonly certFile: string
  }
}

const KEY = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'.split(' ')

/** @param directory exists, and is removed by the caller */
export function makePrivateCa(directory: string): PrivateCa {
  const path = (name: string): string => join(directory, name)
  const openssl = (...args: readonly string[]): string =>
    execFileSync('openssl', [...args], { stdio: 'pipe', encoding: 'utf8' })
  const ca = ['-keyout', path('ca.key'), '-out', path('ca.pem'), '-days', '2']
  openssl('req', '-x509', ...KEY, ...ca, '-subj', '/O=Site/CN=Private CA')
  const gridDirectory = path('certificates')
  mkdirSync(gridDirectory)
  const hash = openssl('x509', '-in', path('ca.pem'), '-noout', '-hash').trim()
  copyFileSync(path('ca.pem'), join(gridDirectory, `${hash}.0`))
  copyFileSync(path('ca.pem'), join(gridDirectory, 'Private-CA.pem'))
  for (const name of [`${hash}.r0`, `${hash}.signing_policy`, 'Private-CA.info', 'x.namespaces'])
    writeFileSync(join(gridDirectory, name), 'not a certificate')
  return {
    file: path('ca.pem'),
    gridDirectory,
    issue: (name) => {
      const [keyFile, request, certFile] = ['key', 'csr', 'crt'].map((end) =>
        path(`${name}.${end}`),
      )
      if (!keyFile || !request || !certFile) throw new Error('three names make three paths')
      const extensions = path(`${name}.ext`)
      writeFileSync(
        extensions,
        `subjectAltName=${/^[\d.]+$/.test(name) ? 'IP' : 'DNS'}:${name}\nbasicConstraints=CA:FALSE\n`,
      )
      openssl('req', ...KEY, '-keyout', keyFile, '-out', request, '-subj', `/CN=${name}`)
      const signer = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial']
      const out = ['-days', '2', '-extfile', extensions, '-out', certFile]
      openssl('x509', '-req', '-in', request, ...signer, ...out)
      return { key: readFileSync(keyFile), cert: readFileSync(certFile), keyFile, certFile }
    },
  }
}
