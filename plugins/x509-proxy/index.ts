/**
 * The plugin `x509-proxy`: a complete proxy for grid middleware. With a CSR the private key never leaves the caller.
 * Without one the service makes the key, returns it once and does not store it.
 */
import { z } from 'zod'
import { createSigner } from '../../ca/key.ts'
import { type FormattedKey, formatProxyFile, keyFormats } from '../../ca/proxy-file.ts'
import { certificateRequest, lifetimeSeconds, wholeNumber } from '../parameters.ts'
import {
  definePlugin,
  type IssuingContext,
  type MadeCertificate,
  type SubjectKey,
} from '../plugin.ts'
import { vomsParameter } from './voms-parameter.ts'

/** Id of the plugin. */
export const X509_PROXY = 'x509-proxy'

/** @param vos names of the VOs whose attributes the service issues */
const parametersFor = (vos: readonly string[]) =>
  z
    .strictObject({
      lifetime_seconds: lifetimeSeconds.optional(),
      proxy_type: z
        .enum(['impersonation', 'limited', 'independent'])
        .default('impersonation')
        .describe(
          '`impersonation` has all rights of the user, `limited` cannot start jobs, `independent` has no rights of its own.',
        ),
      path_length: wholeNumber(0, 100)
        .optional()
        .describe('How many further proxies may be delegated from this one. Default: unlimited.'),
      key_type: z
        .enum(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256'])
        .optional()
        .describe(
          'Kind of key that the service makes. Default: rsa-2048. Must not be combined with a CSR.',
        ),
      key_format: z
        .enum(keyFormats)
        .optional()
        .describe(
          'Format of an RSA key that the service makes: `pkcs1` (RSA PRIVATE KEY) is read by all grid software, JGlobus does not read `pkcs8` (PRIVATE KEY). Default: pkcs1. EC keys are always in PKCS#8. Must not be combined with a CSR.',
        ),
      csr: certificateRequest.optional(),
      voms: vomsParameter(vos),
    })
    .superRefine(({ csr, ...request }, context) => {
      for (const name of ['key_type', 'key_format'] as const) {
        if (csr === undefined || request[name] === undefined) continue
        const message = 'must not be combined with csr, which brings its own key'
        context.addIssue({ code: 'custom', path: [name], message })
      }
    })

type ProxyParameters = z.output<ReturnType<typeof parametersFor>>

/**
 * Issues RFC 3820 proxies. The file holds proxy, key (unless a CSR was sent), EEC and chain, in this order.
 *
 * @param vos names of the VOs whose attributes the service issues
 */
export const x509ProxyPlugin = (vos: readonly string[]) =>
  definePlugin({
    id: X509_PROXY,
    description: 'RFC 3820 proxy certificate, as a file that grid tools read',
    lifetimes: { defaultSeconds: 96 * 3600, maximumSeconds: 168 * 3600 },
    parameters: parametersFor(vos),
    async request(context, request) {
      // First, so that nobody gets a key made for attributes that are not theirs.
      const attributes = await context.attributes(request.voms ?? [])
      const { subjectKey, key } = await proxyKey(context, request)
      const proxy = await context.proxy({
        subjectKey,
        type: request.proxy_type,
        pathLength: request.path_length,
        lifetimeSeconds: request.lifetime_seconds,
        attributes,
      })
      const value = formatProxyFile(proxy.der, key, proxy.chain)
      return {
        entries: [{ name: 'Proxy', type: 'textfile', value, saveAs: 'gwms_proxy' }],
        notAfter: proxy.notAfter,
        warnings: [...attributesWarnings(proxy), ...warningsFor(proxy.keyKind, request)],
      }
    },
  })

async function proxyKey(
  context: IssuingContext,
  request: ProxyParameters,
): Promise<{ subjectKey: SubjectKey; key?: FormattedKey }> {
  if (request.csr !== undefined) return { subjectKey: { csr: request.csr } }
  const privateKey = await context.privateKey(request.key_type ?? 'rsa-2048')
  const { publicKey } = createSigner(privateKey)
  return { subjectKey: publicKey, key: { privateKey, format: request.key_format ?? 'pkcs1' } }
}

function attributesWarnings({ attributesEnd, notAfter }: MadeCertificate): string[] {
  if (attributesEnd === undefined || attributesEnd >= notAfter) return []
  return [
    `the VOMS attributes end at ${attributesEnd.toISOString()}, before the proxy: get a new one until then`,
  ]
}

/** Warnings about valid combinations that some relying party is known to refuse. */
function warningsFor(keyKind: string, request: ProxyParameters): string[] {
  const warnings: string[] = []
  if (keyKind.startsWith('ec')) {
    warnings.push(
      "XRootD's root:// and Globus refuse proxies with an EC key; use RSA-2048 for them",
    )
  }
  if (request.path_length !== undefined && request.path_length < 2) {
    warnings.push(
      'MyProxy and other services that delegate further need a path_length of 2 or more',
    )
  }
  if (request.proxy_type === 'independent') {
    warnings.push(
      "Globus treats the subject of an independent proxy as the identity, so it does not match the user's grid-mapfile entry",
    )
  }
  return warnings
}
