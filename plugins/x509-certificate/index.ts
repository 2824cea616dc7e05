/** An end-entity certificate for the caller's own key. */
import { z } from 'zod'
import { readCsr } from '../../ca/csr.ts'
import { toPem } from '../../ca/pem.ts'
import { certificateRequest, lifetimeSeconds } from '../parameters.ts'
import { definePlugin } from '../plugin.ts'

/** EECs by CSR; the answer is the certificate and the intermediates above it. */
export const x509Certificate = definePlugin({
  id: 'x509-certificate',
  description: 'X.509 end-entity certificate for a key of your own',
  // 10^6 s, the bound of short-lived certificates that need no revocation, is a little more than 11 days.
  lifetimes: { defaultSeconds: 11 * 86_400, maximumSeconds: 11 * 86_400 },
  parameters: z.strictObject({
    lifetime_seconds: lifetimeSeconds.optional(),
    csr: certificateRequest,
  }),
  async request(workbench, wanted) {
    const publicKey = await readCsr(Buffer.from(wanted.csr, 'latin1'))
    const certificate = await workbench.endEntity({
      publicKey,
      lifetimeSeconds: wanted.lifetime_seconds,
    })
    const value = [certificate.der, ...certificate.chain]
      .map((der) => toPem('CERTIFICATE', der))
      .join('')
    return {
      entries: [{ name: 'Certificate', type: 'textfile', value, saveAs: 'usercert.pem' }],
      notAfter: certificate.notAfter,
      warnings: publicKey.kind.startsWith('ec')
        ? [
            'Globus code cannot sign or delegate proxies under an EC certificate; use RSA-2048 for it',
          ]
        : [],
    }
  },
})
