/**
 * An end-entity certificate: for the caller's own key when a CSR comes; else with a key that the service makes, hands over
 * once, encrypted under a passphrase, and forgets.
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

/** Octets of a passphrase: with 192 random bits it needs no slow derivation, which old formats have not. */
const PASSPHRASE_BYTES = 24

/** EECs; with a CSR the answer is the certificate and the intermediates above it. */
export const x509Certificate = definePlugin({
  id: 'x509-certificate',
  description: 'X.509 end-entity certificate',
  // 10^6 s, the bound of short-lived certificates that need no revocation, is a little more than 11 days.
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
      ? ['Globus code cannot sign or delegate proxies under an EC certificate; use RSA-2048 for it']
      : [],
  }
}

/** The entries that WaTTS's CA plugin for X.509 handed out, in its order: some clients take them by position. */
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
