/** The settings of certcache's HTTP server: where it listens, and who may fetch private keys. */
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
      .describe('Port to listen on; 0 picks a free one.'),
    socket: file
      .optional()
      .describe('Path of a Unix socket to listen on instead of address and port.'),
    socket_mode: z
      .enum(['0600', '0660'])
      .default('0600')
      .describe('Permission bits of the socket, in quotes: for its owner, or for its group too.'),
    tls_certificate_file: file
      .optional()
      .describe(
        'PEM file of certificate and chain. With this and `tls_key_file`, certcache uses HTTPS.',
      ),
    tls_key_file: file.optional().describe('PEM file of the private key of the certificate.'),
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
      'Who may fetch a proxy with its private key. `local`: programs on this machine, over loopback or a Unix socket. `restricted`: clients on the network that `allow`, `secret` and `client_ca_file` permit, over TLS. `anyone_who_reaches_the_port`: everybody, as in the old cache; anyone who can reach the port can act as the owner of the proxy.',
    ),
  secret: z
    .string()
    .min(16, 'must have at least 16 characters')
    .optional()
    .describe('Secret that clients send as bearer token or password. Prefer `secret_file`.'),
  secret_file: file.optional().describe('File with the secret.'),
  allow: z
    .array(
      z
        .string()
        .refine(isNetwork, { message: 'must be an address or a network such as 10.0.0.0/8' }),
    )
    .max(100)
    .default([])
    .describe(
      'Client addresses or networks (CIDR) that are allowed. It can be the only restriction. If a secret or client CAs are set too, clients need one of these as well.',
    ),
  client_ca_file: file
    .optional()
    .describe('PEM file of CAs: clients with a TLS certificate of these CAs are allowed.'),
})

type Listen = Readonly<z.output<typeof listenSettings>>
type Access = Readonly<z.output<typeof accessSettings>>

interface ServerKeys {
  readonly listen: Listen
  readonly access: Access
}

/**
 * Checks `listen` and `access` together: private keys must not cross a network unencrypted, or be available to
 * everybody.
 */
export function serverProblems(
  listen: Listen,
  access: Access,
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const { mode } = access
  const problems = []
  const isRestricted =
    access.secret !== undefined ||
    access.secret_file !== undefined ||
    access.client_ca_file !== undefined ||
    access.allow.length > 0
  const hasTls = listen.tls_key_file !== undefined
  const isLocal = listen.socket !== undefined || isLoopback(listen.host)
  if (mode === 'local' && !isLocal) {
    const message =
      'would expose private keys to everybody who can reach this address; set access.mode to restricted, with a secret, client certificates or an allow-list'
    problems.push({ path: ['listen', 'host'], message })
  }
  if (mode === 'restricted' && !isRestricted) {
    const message = 'needs one of secret_file, client_ca_file, allow when it is restricted'
    problems.push({ path: ['access', 'mode'], message })
  }
  if (mode === 'restricted' && !isLocal && !hasTls) {
    const message =
      'must be set with tls_certificate_file; otherwise private keys and the secret would cross the network unencrypted'
    problems.push({ path: ['listen', 'tls_key_file'], message })
  }
  if (access.client_ca_file !== undefined && !hasTls) {
    const message = 'needs TLS; set listen.tls_certificate_file and listen.tls_key_file'
    problems.push({ path: ['access', 'client_ca_file'], message })
  }
  return problems
}

/** Returns the changed keys that a running server cannot apply without a restart. */
export function restartKeys(old: ServerKeys, changed: ServerKeys): readonly string[] {
  const fixedKeys = ({ listen, access }: ServerKeys): Readonly<Record<string, unknown>> => ({
    'listen.host': listen.host,
    'listen.port': listen.port,
    'listen.socket': listen.socket,
    'listen.socket_mode': listen.socket_mode,
    'listen.tls_key_file': listen.tls_key_file !== undefined,
    'access.mode': access.mode,
    'access.client_ca_file': access.client_ca_file !== undefined,
  })
  const before = fixedKeys(old)
  return Object.entries(fixedKeys(changed)).flatMap(([key, value]) =>
    before[key] === value ? [] : [key],
  )
}

/** Tells whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)
}
