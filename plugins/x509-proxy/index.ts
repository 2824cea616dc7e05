/**
 * A ready proxy for grid middleware. With a CSR the private key never leaves the caller; without one the service makes
 * the key, sends it once and forgets it.
 */
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { createSigner } from '../../ca/key.ts'
import { formatProxyFile } from '../../ca/proxy-file.ts'
import { certificateRequest, lifetimeSeconds, wholeNumber } from '../parameters.ts'
import { definePlugin, type SubjectKey, type IssuingContext } from '../plugin.ts'

const parameters = z
  .strictObject({
    lifetime_seconds: lifetimeSeconds.optional(),
    proxy_type: z
      .enum(['impersonation', 'limited', 'independent'])
      .default('impersonation')
      .describe(
        '`impersonation` acts for the person in full, `limited` cannot start jobs, `independent` has no rights of its own.',
      ),
    path_length: wholeNumber(0, 100)
      .optional()
      .describe(
        'How many further proxies may be delegated from this one. Unlimited when left out.',
      ),
    key_type: z
      .enum(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256'])
      .optional()
      .describe(
        'Kind of key that the service makes; rsa-2048 when left out. Not together with a CSR.',
      ),
    csr: certificateRequest.optional(),
  })
  .refine(({ csr, key_type }) => csr === undefined || key_type === undefined, {
    message: 'key_type goes with keys that the service makes; with a CSR the key is yours',
    path: ['key_type'],
  })

/** RFC 3820 proxies; the file is proxy, key, EEC, chain. */
export const x509Proxy = definePlugin({
  id: 'x509-proxy',
  description: 'RFC 3820 proxy certificate, as a file that grid tools read',
  lifetimes: { defaultSeconds: 96 * 3600, maximumSeconds: 168 * 3600 },
  parameters,
  async request(context, wanted) {
    const { subjectKey, privateKey } = await proxyKey(context, wanted)
    const proxy = await context.proxy({
      subjectKey,
      type: wanted.proxy_type,
      pathLength: wanted.path_length,
      lifetimeSeconds: wanted.lifetime_seconds,
    })
    const value = formatProxyFile(proxy.der, privateKey, proxy.chain)
    return {
      entries: [{ name: 'Proxy', type: 'textfile', value, saveAs: 'gwms_proxy' }],
      notAfter: proxy.notAfter,
      warnings: warningsFor(proxy.keyKind, wanted),
    }
  },
})

async function proxyKey(
  context: IssuingContext,
  wanted: z.output<typeof parameters>,
): Promise<{ subjectKey: SubjectKey; privateKey?: KeyObject }> {
  if (wanted.csr !== undefined) return { subjectKey: { csr: wanted.csr } }
  const privateKey = await context.privateKey(wanted.key_type ?? 'rsa-2048')
  return { subjectKey: createSigner(privateKey).publicKey, privateKey }
}

/** Combinations that the profile allows and that some relying party is known to refuse. */
function warningsFor(keyKind: string, wanted: z.output<typeof parameters>): string[] {
  const warnings: string[] = []
  if (keyKind.startsWith('ec')) {
    warnings.push(
      "XRootD's root:// and Globus refuse proxies with an EC key; use RSA-2048 for them",
    )
  }
  if (wanted.path_length !== undefined && wanted.path_length < 2) {
    warnings.push(
      'MyProxy and other services that delegate further need a path length of 2 or more',
    )
  }
  if (wanted.proxy_type === 'independent') {
    warnings.push(
      'Globus takes the own name of an independent proxy for the identity, so that no grid-mapfile entry fits it',
    )
  }
  return warnings
}
