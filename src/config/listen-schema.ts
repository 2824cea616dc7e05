import { z } from 'zod'
import { isNetwork, isOrigin, isSiteUrl } from './value-checks.ts'

const file = z.string().min(1).max(4096)

/** Listeners of the service (configuration section `listen`). */
export const listenerSettings = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
    port: z
      .int()
      .min(0)
      .max(65535)
      .default(8080)
      .describe('Port to listen on; 0 selects a free one.'),
    tls_certificate_file: file
      .optional()
      .describe(
        'Certificate and chain in PEM. With this and `tls_key_file` the service uses HTTPS; it reads the files again when they change.',
      ),
    tls_key_file: file.optional().describe('File with the private key of the certificate in PEM.'),
    trusted_proxies: z
      .array(
        z
          .string()
          .refine(isNetwork, { message: 'must be an address or a network such as 10.0.0.0/8' }),
      )
      .default([])
      .describe(
        'Addresses or networks (CIDR) of reverse proxies whose headers X-Forwarded-For and X-Forwarded-Proto are trusted. Without TLS, the service listens on addresses other than loopback only if this is set.',
      ),
    plain: z
      .strictObject({
        host: z.string().min(1).default('127.0.0.1').describe('Address of the plain listener.'),
        port: z.int().min(0).max(65535).describe('Port of the plain listener.'),
      })
      .optional()
      .describe(
        'A second listener with plain HTTP on any address, only for public paths: /ca (CRLs are fetched over http), /problems, /healthz, /readyz, /metrics. It accepts no tokens.',
      ),
    cors_origins: z
      .array(
        z.string().refine(isOrigin, {
          message: 'must be an https origin such as https://portal.example.org, without a path',
        }),
      )
      .default([])
      .describe(
        'Origins of other web pages whose scripts may use /v1, /oauth2/token and the metadata with an access token of their own (CORS). Empty: none. Never the pages and paths that accept a session cookie.',
      ),
    public_url: z
      .url()
      .refine(isSiteUrl, {
        message:
          'must be an http or https URL without user, query and fragment, such as https://tts.example.org or https://www.example.org/tts',
      })
      .optional()
      .describe(
        'URL under which clients reach the service, for links in answers and certificates. If it has a path, as in https://www.example.org/tts, the reverse proxy must remove that path before it forwards a request. Default: derived from host and port.',
      ),
  })
  .superRefine((listen, context) => {
    if ((listen.tls_certificate_file === undefined) !== (listen.tls_key_file === undefined)) {
      context.addIssue({
        code: 'custom',
        path: ['tls_key_file'],
        message: 'tls_certificate_file and tls_key_file must both be set, or neither',
      })
    }
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(listen.host)
    if (!loopback && listen.tls_key_file === undefined && listen.trusted_proxies.length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['host'],
        message:
          'tokens and private keys would cross the network unencrypted; set tls_certificate_file and tls_key_file, or add the reverse proxy to trusted_proxies, or listen on 127.0.0.1',
      })
    }
  })
