/** Settings of certcache's HTTP server: where it listens, and who is let in to a private key. */
import { z } from 'zod'
import { isNetwork } from '../../config/value-checks.ts'

const file = z.string().min(1).max(4096)

export const listenSettings = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
    port: z
      .int()
      .min(0)
      .max(65535)
      .default(8081)
      .describe('Port to listen on; 0 takes a free one.'),
    socket: file
      .optional()
      .describe('Path of a Unix socket to listen on, in place of address and port.'),
    socket_mode: z
      .enum(['0600', '0660'])
      .default('0600')
      .describe('Who may use the socket, in quotes: its owner, or its group too.'),
    tls_certificate_file: file
      .optional()
      .describe('Certificate and chain in PEM. With it and `tls_key_file` certcache speaks HTTPS.'),
    tls_key_file: file.optional().describe('Private key of the certificate in PEM.'),
  })
  .superRefine((listen, context) => {
    if ((listen.tls_certificate_file === undefined) === (listen.tls_key_file === undefined)) return
    context.addIssue({
      code: 'custom',
      path: ['tls_key_file'],
      message: 'tls_certificate_file and tls_key_file must both be set, or neither',
    })
  })

export const accessSettings = z.strictObject({
  mode: z
    .enum(['local', 'restricted', 'anyone_who_reaches_the_port'])
    .default('local')
    .describe(
      'Who may fetch a proxy with its private key. `local`: programs of this machine, on loopback or a Unix socket. `restricted`: over the network with TLS, for whom `allow`, `secret` and `client_ca_file` let in. `anyone_who_reaches_the_port`: what the old cache did; whoever reaches the port can act as the owner of the proxy.',
    ),
  secret: z
    .string()
    .min(16, 'must have at least 16 characters')
    .optional()
    .describe('Secret that clients send as bearer token or password. Better given as a file.'),
  secret_file: file.optional().describe('File with the secret that clients send.'),
  allow: z
    .array(
      z
        .string()
        .refine(isNetwork, { message: 'must be an address or a network such as 10.0.0.0/8' }),
    )
    .max(100)
    .default([])
    .describe(
      'Addresses or networks (CIDR) that may connect at all. Enough alone; with a secret or client CAs one of these is required as well.',
    ),
  client_ca_file: file
    .optional()
    .describe('CAs in PEM: who shows a TLS client certificate of theirs is let in.'),
})

type Listen = Readonly<z.output<typeof listenSettings>>
type Access = Readonly<z.output<typeof accessSettings>>

/** What listening and access together must not be: a private key that crosses a network in clear, or for everybody. */
export function serverProblems(
  listen: Listen,
  access: Access,
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const { mode } = access
  const problems = []
  const guarded =
    access.secret !== undefined ||
    access.secret_file !== undefined ||
    access.client_ca_file !== undefined ||
    access.allow.length > 0
  const hasTls = listen.tls_key_file !== undefined
  const stays = listen.socket !== undefined || isLoopback(listen.host)
  if (mode === 'local' && !stays) {
    const message =
      'the private keys of proxies would be for whoever reaches this address; set access.mode to restricted, with a secret, client certificates or an allow-list'
    problems.push({ path: ['listen', 'host'], message })
  }
  if (mode === 'restricted' && !guarded) {
    const message = 'restricted wants one of secret_file, client_ca_file, allow'
    problems.push({ path: ['access', 'mode'], message })
  }
  if (mode === 'restricted' && !stays && !hasTls) {
    const message =
      'private keys and the secret would cross the network in clear; set tls_certificate_file and tls_key_file'
    problems.push({ path: ['listen', 'tls_key_file'], message })
  }
  if (access.client_ca_file !== undefined && !hasTls) {
    const message = 'client certificates are shown in TLS only; set listen.tls_key_file'
    problems.push({ path: ['access', 'client_ca_file'], message })
  }
  return problems
}

/** Whether an address is one of this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)
}
