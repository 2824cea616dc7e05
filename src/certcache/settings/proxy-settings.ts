/** Settings of the proxies that are kept: what each is, and where it is written. */
import { z } from 'zod'

const file = z.string().min(1).max(4096)
const account = z
  .union([z.int().min(0), z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/)])
  .optional()

const outputSettings = z.strictObject({
  path: file.describe(
    'Where the proxy goes. With `split` a directory, in which usercert.pem and userkey.pem change together.',
  ),
  owner: account.describe('User that the file is given to, by name or number; needs root.'),
  group: account.describe('Group that the file is given to, by name or number.'),
  mode: z
    .string({ error: 'must be an octal mode in quotes, such as "0600"' })
    .regex(/^0?[46][04]0$/, 'must be one of "0600", "0400", "0640", "0440"')
    .default('0600')
    .describe('Permission bits, octal, in quotes. The file holds a private key.'),
  format: z
    .enum(['pem', 'split'])
    .default('pem')
    .describe('`pem`: one file as grid tools read it. `split`: certificates and key apart.'),
  follow_symlink: z
    .boolean()
    .default(false)
    .describe(
      'Write to what a symbolic link at `path` names; else such a path is refused. As root only a link that nobody else can change.',
    ),
})

const proxySettings = z.strictObject({
  service: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,31}$/)
    .default('proxy')
    .describe('Id of the service that is asked for the proxy.'),
  type: z
    .enum(['impersonation', 'limited', 'independent'])
    .default('impersonation')
    .describe('Kind of proxy.'),
  lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe('Life of the proxy. Default: what the service gives.'),
  path_length: z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe('How many further proxies may be delegated from it. Default: no limit.'),
  key_type: z
    .enum(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256'])
    .default('rsa-2048')
    .describe('Kind of its key. XRootD and Globus refuse EC ones.'),
  outputs: z
    .array(outputSettings)
    .max(16)
    .optional()
    .describe(
      'Files that the proxy is written to. Default: one, DIRECTORY/NAME in the state directory; none when the state is in PostgreSQL and no directory is set.',
    ),
  hook: z
    .array(z.string().max(4096))
    .min(1)
    .max(64)
    .optional()
    .describe(
      'Command and arguments, run without a shell after each renewal; it finds CERTCACHE_PROXY_NAME, CERTCACHE_PROXY_FILE and CERTCACHE_NOT_AFTER in its environment. What it starts is ended with it.',
    ),
})

const NAME_FORM = 'must be names made of letters, digits, dots, underscores, hyphens'
const proxyName = z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/)

const MOST_PROXIES = 32

/** All proxies by name, in order. */
export const proxiesSettings = z
  .record(proxyName, proxySettings, {
    error: ({ code }) => (code === 'invalid_key' ? NAME_FORM : undefined),
  })
  .refine(
    (proxies) => Object.keys(proxies).length >= 1 && Object.keys(proxies).length <= MOST_PROXIES,
    { message: `must be 1 to ${MOST_PROXIES} proxies` },
  )

export type ProxySettings = z.output<typeof proxySettings>
export type OutputSettings = z.output<typeof outputSettings>
