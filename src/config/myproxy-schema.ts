import { z } from 'zod'
import { vomsHost, type VomsSettings } from './voms-schema.ts'

/** Plugins whose credentials a MyProxy client can take: certificates for a CSR, whose key the client has. */
export const myproxyPlugins: readonly string[] = ['x509-certificate', 'x509-proxy']

/** The MyProxy server (configuration section `myproxy`). */
export const myproxySettings = z.strictObject({
  listen: z
    .string()
    .min(1)
    .optional()
    .describe('Address on which the MyProxy server listens. Without it there is none.'),
  port: z
    .int()
    .min(1)
    .max(65535)
    .default(7512)
    .describe('Port of the MyProxy server; 7512 is where clients expect it.'),
  service: z
    .string()
    .min(1)
    .max(64)
    .default('x509')
    .describe(
      'Id of the service that issues when a client names none (`myproxy-logon -k` names one).',
    ),
  code_lifetime_seconds: z
    .int()
    .min(30)
    .max(3600)
    .default(300)
    .describe('How long a one-time code from the web page can be used, in seconds.'),
})

export type MyProxySettings = z.output<typeof myproxySettings>

/** Problems with what other sections say. */
export function myproxyProblems(
  { listen, service }: MyProxySettings,
  related: {
    readonly services: Readonly<Record<string, { readonly plugin: string }>>
    readonly voms: Pick<VomsSettings, 'host'>
    readonly publicUrl: string | undefined
  },
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  if (listen === undefined) return []
  const hasHost = vomsHost(related.voms, related.publicUrl) !== undefined
  const { plugin } = related.services[service] ?? {}
  return [
    ...(hasHost
      ? []
      : [
          {
            path: ['listen'],
            message:
              'needs a host certificate, and no setting has a DNS name for it: set listen.public_url or voms.host',
          },
        ]),
    ...(plugin !== undefined && myproxyPlugins.includes(plugin)
      ? []
      : [
          {
            path: ['service'],
            message: `must be the id of a service with the plugin ${myproxyPlugins.join(' or ')}`,
          },
        ]),
  ]
}
