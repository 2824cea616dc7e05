/** The settings of the proxies: their parameters and output files. */
import { z } from 'zod'
import { keyFormats } from '../../../ca/proxy-file.ts'
import { vomsTextProblem } from '../../../plugins/x509-proxy/voms-parameter.ts'
import { mayBeSame, type SecretSettings, secretSettings } from './kubernetes-settings.ts'

const file = z.string().min(1).max(4096)
const account = z
  .union([z.int().min(0), z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/)])
  .optional()

const outputSettings = z.strictObject({
  path: file.describe(
    'Path of the proxy file. With `split`: a directory, in which usercert.pem and userkey.pem change together.',
  ),
  owner: account.describe('Owner of the file, a user name or numeric id. Needs root.'),
  group: account.describe('Group of the file, a name or numeric id.'),
  mode: z
    .string({ error: 'must be an octal mode in quotes, such as "0600"' })
    .regex(/^0?[46][04]0$/, 'must be one of "0600", "0400", "0640", "0440"')
    .default('0600')
    .describe('Permission bits of the file, octal, in quotes. The file holds a private key.'),
  format: z
    .enum(['pem', 'split'])
    .default('pem')
    .describe(
      '`pem`: one file, as grid tools read it. `split`: certificates and key in two files.',
    ),
  follow_symlink: z
    .boolean()
    .default(false)
    .describe(
      'Whether to write to the target of a symbolic link at `path`. If false, a symbolic link is refused. Root follows only links that no other user can change.',
    ),
})

const proxySettings = z.strictObject({
  service: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/)
    .default('proxy')
    .describe(
      'Id of the service that issues the proxy: `services.<id>` at the Token Translation Service.',
    ),
  type: z
    .enum(['impersonation', 'limited', 'independent'])
    .default('impersonation')
    .describe('Type of the proxy.'),
  lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe('Lifetime of the proxy. Default: the default of the service.'),
  path_length: z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe(
      'Path length constraint: how many further proxies may be issued below it. Default: no limit.',
    ),
  key_type: z
    .enum(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256'])
    .default('rsa-2048')
    .describe('Type of the key. XRootD and Globus refuse EC keys.'),
  key_format: z
    .enum(keyFormats)
    .default('pkcs1')
    .describe(
      'Format of an RSA key: `pkcs1` (RSA PRIVATE KEY) is read by all grid software, JGlobus does not read `pkcs8` (PRIVATE KEY). EC keys are always in PKCS#8.',
    ),
  voms: z
    .string()
    .max(4096)
    .superRefine((value, context) => {
      const message = vomsTextProblem(value)
      if (message !== undefined) context.addIssue({ code: 'custom', message })
    })
    .optional()
    .describe(
      'VOMS attributes in the proxy, as for voms-proxy-init -voms: `cms`, or `cms:/cms/Role=production`. Several VOs with spaces between. The proxy is renewed, and counts as valid, by the end of the attributes if that comes first.',
    ),
  outputs: z
    .array(outputSettings)
    .max(16)
    .optional()
    .describe(
      'Files that the proxy is written to. Default: one file, DIRECTORY/NAME in the state directory. If the state is in PostgreSQL and state.directory is not set: none.',
    ),
  kubernetes_secrets: z
    .array(secretSettings)
    .max(16)
    .default([])
    .describe(
      'Kubernetes Secrets that the proxy is written to, by a pod whose service account may `get` and `patch` them.',
    ),
  hook: z
    .array(z.string().max(4096))
    .min(1)
    .max(64)
    .optional()
    .describe(
      'Command and arguments, run without a shell after each renewal. Its environment has CERTCACHE_PROXY_NAME, CERTCACHE_PROXY_FILE and CERTCACHE_NOT_AFTER. Processes that it starts are killed when it ends.',
    ),
})

const NAME_FORM = 'must have names of letters, digits, dots, underscores and hyphens'
const proxyName = z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/)

const MAX_PROXIES = 32

/** All proxies by name, in order. */
export const proxiesSettings = z
  .record(proxyName, proxySettings, {
    error: ({ code }) => (code === 'invalid_key' ? NAME_FORM : undefined),
  })
  .refine(
    (proxies) => Object.keys(proxies).length >= 1 && Object.keys(proxies).length <= MAX_PROXIES,
    { message: `must have 1 to ${MAX_PROXIES} proxies` },
  )
  .superRefine((proxies, context) => {
    const seen: SecretSettings[] = []
    for (const [name, { kubernetes_secrets: secrets }] of Object.entries(proxies))
      for (const [index, secret] of secrets.entries()) {
        const message =
          'must not name the Secret of another entry: a Secret holds one proxy. Entries for Secrets of the same name all need `namespace`'
        if (seen.some((other) => mayBeSame(other, secret)))
          context.addIssue({
            code: 'custom',
            path: [name, 'kubernetes_secrets', index, 'name'],
            message,
          })
        seen.push(secret)
      }
  })

export type ProxySettings = z.output<typeof proxySettings>
export type OutputSettings = z.output<typeof outputSettings>
