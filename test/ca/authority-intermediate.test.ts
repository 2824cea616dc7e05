import { describe, expect, test } from 'vitest'
import { openAuthority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { createCsr } from '../../ca/csr.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import { createSigner } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { readPem } from '../../ca/pem.ts'
import { day, endEntityRequest } from '../support/issuing.ts'
import { pkcs8Pem, sharedKey } from '../support/keys.ts'
import { openssl, opensslRefusal } from '../support/openssl.ts'

describe('an intermediate of an outside root', () => {
  const subject = parseSlashDn('/DC=org/DC=example/CN=Issuing CA')

  /** What a person with openssl makes of our request, and of its root. */
  async function signedByOpenssl(
    csr: string,
    more = '',
  ): Promise<{ certificate: string; root: string }> {
    const key = pkcs8Pem(await sharedKey('rsa-3072', 'outside'))
    const usage = 'keyUsage=critical,keyCertSign,cRLSign'
    const rootArgs = [
      'req',
      '-x509',
      '-new',
      '-key',
      'key',
      '-subj',
      '/O=Outside/CN=Root',
      '-days',
      '3650',
      '-addext',
      usage,
    ]
    const { stdout: root } = await openssl(rootArgs, { key })
    const extensions = `basicConstraints=critical,CA:TRUE,pathlen:0\n${usage}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n${more}`
    const args = [
      'x509',
      '-req',
      '-in',
      'csr',
      '-CA',
      'root',
      '-CAkey',
      'key',
      '-set_serial',
      '77',
      '-days',
      '3000',
      '-extfile',
      'extensions',
    ]
    const answer = await openssl(args, { csr, key, root, extensions })
    expect(answer.ok, answer.text).toBe(true)
    return { certificate: answer.stdout.toString(), root: root.toString() }
  }

  test.for(['rsa-3072', 'ec-p384'] as const)(
    'with %s opens, issues, and openssl accepts',
    async (kind) => {
      const privateKey = await sharedKey(kind, 'intermediate')
      const { certificate, root } = await signedByOpenssl(
        await createCsr(subject, createSigner(privateKey)),
      )
      const authority = openAuthority(certificate + root, privateKey)
      expect(authority.certificate.subject).toEqual(subject)
      const { notBefore } = authority.certificate.validity
      const validity = { notBefore, notAfter: new Date(notBefore.getTime() + day * 1000) }
      const wanted = { ...(await endEntityRequest()), validity }
      const certificateOfUser = readCertificate(await issueEndEntity(authority, wanted))
      const refused = await opensslRefusal({
        leaf: certificateOfUser,
        untrusted: [authority.certificate],
        anchors: authority.chain,
        now: notBefore,
        allowProxies: false,
      })
      expect(refused).toBeUndefined()
      expect(certificateOfUser.issuer).toEqual(subject)
      const [block] = readPem(root, 'root')
      expect(authority.chain.map(({ der }) => der)).toEqual([block?.der])
    },
  )
})
