/**
 * The plugin `x509-certificate`: an EEC for the caller's own key (by CSR), or with a key that the service makes,
 * returns once, encrypted under a passphrase, and does not store.
 */
import { z } from 'zod'
import { readCsr } from '../../ca/csr.ts'
import { createSigner } from '../../ca/key.ts'
import { toPem } from '../../ca/pem.ts'
import { traditionalPrivateKeyPem } from '../../ca/private-key.ts'
import { certificateRequest, lifetimeSeconds } from '../parameters.ts'
import {
  type Credential,
  definePlugin,
  type MadeCertificate,
  type IssuingContext,
} from '../plugin.ts'

const parameters = z.strictObject({
  lifetime_seconds: lifetimeSeconds.optional(),
  csr: certificateRequest.optional(),
})

/**
 * Length before encoding. With 192 random bits a passphrase needs no slow key derivation, which the old key format
 * lacks.
 */
const PASSPHRASE_BYTES = 24

/** Issues EECs. With a CSR the answer is the certificate and the intermediates above it. */
export const x509Certificate = definePlugin({
  id: 'x509-certificate',
  description: 'X.509 end-entity certificate',
  // Just below 10^6 s, the longest life of certificates that need no revocation.
  lifetimes: { defaultSeconds: 11 * 86_400, maximumSeconds: 11 * 86_400 },
  parameters,
  request: (context, { csr, lifetime_seconds: seconds }) =>
    csr === undefined ? withNewKey(context, seconds) : forRequest(context, csr, seconds),
})

async function forRequest(
  context: IssuingContext,
  csr: string,
  seconds: number | undefined,
): Promise<Credential> {
  const publicKey = await readCsr(Buffer.from(csr, 'latin1'))
  const certificate = await context.endEntity({ publicKey, lifetimeSeconds: seconds })
  const value = certificatePem(certificate)
  return {
    entries: [{ name: 'Certificate', type: 'textfile', value, saveAs: 'usercert.pem' }],
    notAfter: certificate.notAfter,
    warnings: publicKey.kind.startsWith('ec')
      ? ['Globus cannot sign or delegate proxies under an EC certificate; use RSA-2048 for Globus']
      : [],
  }
}

/** The entries of WaTTS's CA plugin for X.509, in its order: some clients read them by position. */
async function withNewKey(
  context: IssuingContext,
  seconds: number | undefined,
): Promise<Credential> {
  const privateKey = await context.privateKey('rsa-2048')
  const { publicKey } = createSigner(privateKey)
  const certificate = await context.endEntity({ publicKey, lifetimeSeconds: seconds })
  const passphrase = context.randomBytes(PASSPHRASE_BYTES).toString('base64url')
  const key = traditionalPrivateKeyPem(privateKey, passphrase)
  const authority = context.authorityChain.map((der) => toPem('CERTIFICATE', der)).join('')
  return {
    entries: [
      {
        name: 'Certificate',
        type: 'textfile',
        value: certificatePem(certificate),
        saveAs: 'watts_cert.pem',
      },
      { name: 'Private Key', type: 'textfile', value: key, saveAs: 'watts_cert.key' },
      { name: 'Passphrase (for Private Key)', type: 'text', value: passphrase },
      { name: 'CA Certificate', type: 'textfile', value: authority, saveAs: 'watts_ca.crt' },
    ],
    notAfter: certificate.notAfter,
    warnings: [],
  }
}

function certificatePem({ der, chain }: MadeCertificate): string {
  return [der, ...chain].map((each) => toPem('CERTIFICATE', each)).join('')
}
