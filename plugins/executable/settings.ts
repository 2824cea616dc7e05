/** Settings of an executable that speaks the WaTTS plugin protocol. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'

const absolutePath = z
  .string()
  .max(4096)
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'must be an absolute path')

/** One word of a command: it reaches the program as it is. */
const word = z
  .string()
  .max(4096)
  // oxlint-disable-next-line no-control-regex -- that is what is refused
  .regex(/^[^\x00-\x1f\x7f]*$/, 'must have no control characters')

const command = z
  .array(word)
  .min(1)
  .max(64)
  .refine(
    ([program = '']) => isAbsolute(program) || /^[\w.+-]+$/.test(program),
    'must begin with the absolute path of the program, or a name that is on the path /usr/local/bin:/usr/bin:/bin',
  )

/** ssh gives these characters a meaning of its own. */
const sshFile = absolutePath.refine((path) => !/["$\\]/.test(path), 'must have no ", $ or \\')

/** Words that end up on ssh's own command line may not look like its options. */
const sshWord = (shape: RegExp, wanted: string) => z.string().max(255).regex(shape, wanted)

const connection = z
  .strictObject({
    type: z
      .enum(['local', 'ssh'])
      .default('local')
      .describe('`local`: on this machine; `ssh`: on another, by the ssh client of the system.'),
    host: sshWord(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, 'must be a host name or address')
      .optional()
      .describe('ssh: the machine.'),
    port: z.int().min(1).max(65_535).default(22).describe('ssh: its port.'),
    user: sshWord(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, 'must be a user name')
      .optional()
      .describe('ssh: the user there.'),
    identity_file: sshFile
      .optional()
      .describe('ssh: private key, without a passphrase, readable by the service alone.'),
    known_hosts_file: sshFile
      .optional()
      .describe('ssh: the host key must be in this file; unknown hosts are refused.'),
    connect_timeout_seconds: z
      .int()
      .min(1)
      .max(600)
      .default(10)
      .describe('ssh: how long the connection may take.'),
  })
  .superRefine((settings, context) => {
    if (settings.type !== 'ssh') return
    for (const key of ['host', 'user', 'identity_file', 'known_hosts_file'] as const) {
      if (settings[key] === undefined)
        context.addIssue({
          code: 'custom',
          path: [key],
          message: 'is needed for connections by ssh',
        })
    }
  })

/** A name as Linux has them, or a number; root is no other user. */
const userName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/, 'must be a user name or a number')
  .refine((name) => name !== 'root' && !/^0+$/.test(name), 'must not be root')

/** Paths that a program in the sandbox sees. */
const sandboxPaths = z.array(absolutePath.refine((path) => path !== '/', 'must not be /')).max(64)

/** Who a program runs as, and what it sees. */
const isolation = {
  user: z
    .union([z.int().min(1).max(4_294_967_294), userName])
    .optional()
    .describe(
      'User, by name or number, who the program runs as, with the groups of that user. Needs a service that runs as root, and is required there unless `allow_root` is true.',
    ),
  allow_root: z
    .boolean()
    .default(false)
    .describe('True: the program may run as root, where the service does and no `user` is set.'),
  sandbox: z
    .enum(['none', 'bubblewrap'])
    .default('none')
    .describe(
      '`bubblewrap`: the program sees system programs and libraries, itself, the directory of its run, `readable_paths` and `writable_paths`, and no other process; all that it started ends with it. Needs the package bubblewrap. `none`: it sees what its user may see.',
    ),
  readable_paths: sandboxPaths
    .default([])
    .describe('Files and directories that a program in the sandbox can read besides.'),
  writable_paths: sandboxPaths
    .default([])
    .describe(
      'Files and directories that a program in the sandbox can also write, as far as its user may.',
    ),
}

const executableKeys = z.strictObject({
  command: command.describe(
    'The program and its arguments, a list. No shell sees it; the request is added as the last argument, or comes on standard input.',
  ),
  connection: connection.prefault({}).describe('Where the program runs.'),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(3600)
    .default(30)
    .describe('How long one run may take; then the program is ended, with all that it started.'),
  maximum_output_bytes: z
    .int()
    .min(1024)
    .max(67_108_864)
    .default(1_048_576)
    .describe('Longest output of one run; the program is ended when it writes more.'),
  parallel_runner: z
    .union([z.int().min(1).max(1000), z.literal('infinite')])
    .default(1)
    .describe(
      'How many runs there may be at once, or `infinite`; one user has at most all but one of them, and 16.',
    ),
  maximum_waiting: z
    .int()
    .min(0)
    .max(10_000)
    .default(100)
    .describe(
      "How many requests may wait for a run, one user's at most an eighth of them; more are refused at once with 503.",
    ),
  conf_params: z
    .record(
      z.string().regex(/^[a-z0-9_]{1,100}$/, 'must consist of lower-case letters, digits and _'),
      z
        .union([z.boolean(), z.string(), z.number()])
        .describe('The value of one of them, as the program declares it.'),
    )
    .default({})
    .describe('Values of the configuration parameters that the program declares.'),
  allow_insecure_plugins: z
    .boolean()
    .default(false)
    .describe(
      'True: programs may take the request as an argument, which every user of the machine can read in the process list.',
    ),
  pass_access_token: z
    .boolean()
    .default(false)
    .describe(
      "True: the program gets the caller's access token. Only for programs that read standard input.",
    ),
  allow_same_state: z
    .boolean()
    .default(false)
    .describe(
      'True: the program may answer with the state of a credential that the identity has already, and that credential is meant again.',
    ),
  environment: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, 'must be the name of a variable'),
      z
        .string()
        .max(4096)
        .regex(/^[^\0]*$/)
        .describe('The value of one of them.'),
    )
    .default({})
    .describe(
      "Variables of the program besides PATH, LANG, HOME and TMPDIR; nothing of the service's own environment is handed down. Not for secrets.",
    ),
  ...isolation,
  working_directory: absolutePath
    .optional()
    .describe(
      'Directory in which each run gets an empty directory of its own, removed after it. Default: that for temporary files.',
    ),
})

/** What a service says of the executable that makes its credentials. */
export const executableSettings = executableKeys.superRefine((settings, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { connection, user, sandbox } = settings
  if (connection.type === 'ssh') {
    if (user !== undefined) complain('user', 'goes with connection.type local: see connection.user')
    if (sandbox !== 'none') complain('sandbox', 'goes with connection.type local')
  }
  for (const key of ['readable_paths', 'writable_paths'] as const)
    if (sandbox === 'none' && settings[key].length > 0)
      complain(key, 'goes with sandbox: bubblewrap')
})

export type ExecutableSettings = z.output<typeof executableSettings>
