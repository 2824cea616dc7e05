/** Settings of an executable that speaks the WaTTS plugin protocol. */
import { isAbsolute } from 'node:path'
import { z } from 'zod'

const absolutePath = z
  .string()
  .max(4096)
  .refine((path) => isAbsolute(path) && !path.includes('\0'), 'must be an absolute path')

/** One word of a command; it reaches the program unchanged. */
const word = z
  .string()
  .max(4096)
  // oxlint-disable-next-line no-control-regex -- these are refused
  .regex(/^[^\x00-\x1f\x7f]*$/, 'must not contain control characters')

const command = z
  .array(word)
  .min(1)
  .max(64)
  .refine(
    ([program = '']) => isAbsolute(program) || /^[\w.+-]+$/.test(program),
    'must begin with the absolute path of the program, or with its name on the path /usr/local/bin:/usr/bin:/bin',
  )

/** These characters have a special meaning for ssh. */
const sshFile = absolutePath.refine((path) => !/["$\\]/.test(path), 'must not contain ", $ or \\')

/** Words on ssh's command line must not look like options. */
const sshWord = (pattern: RegExp, message: string) => z.string().max(255).regex(pattern, message)

const connection = z
  .strictObject({
    type: z
      .enum(['local', 'ssh'])
      .default('local')
      .describe(
        '`local`: on this machine; `ssh`: on another one, with the ssh client of this system.',
      ),
    host: sshWord(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, 'must be a host name or address')
      .optional()
      .describe('ssh: host name or address.'),
    port: z.int().min(1).max(65_535).default(22).describe('ssh: port.'),
    user: sshWord(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, 'must be a user name')
      .optional()
      .describe('ssh: user on that machine.'),
    identity_file: sshFile
      .optional()
      .describe(
        'ssh: file of the private key, without a passphrase, readable only by the service.',
      ),
    known_hosts_file: sshFile
      .optional()
      .describe('ssh: file that holds the host key; unknown hosts are refused.'),
    connect_timeout_seconds: z
      .int()
      .min(1)
      .max(600)
      .default(10)
      .describe('ssh: longest time for connecting, in seconds.'),
  })
  .superRefine((settings, context) => {
    if (settings.type !== 'ssh') return
    for (const key of ['host', 'user', 'identity_file', 'known_hosts_file'] as const) {
      if (settings[key] === undefined)
        context.addIssue({
          code: 'custom',
          path: [key],
          message: 'must be set for connection.type ssh',
        })
    }
  })

/** A Linux user name or a number, but not root. */
const userName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/, 'must be a user name or a number')
  .refine((name) => name !== 'root' && !/^0+$/.test(name), 'must not be root')

/** Paths that a program in the sandbox sees. */
const sandboxPaths = z.array(absolutePath.refine((path) => path !== '/', 'must not be /')).max(64)

/** Settings of a program's user and of its sandbox. */
const isolation = {
  user: z
    .union([z.int().min(1).max(4_294_967_294), userName])
    .optional()
    .describe(
      'User, by name or number, who runs the program, with all groups of that user. Needs a service that runs as root, and is required there unless `allow_root` is true.',
    ),
  allow_root: z
    .boolean()
    .default(false)
    .describe('True: the program may run as root if the service does and no `user` is set.'),
  sandbox: z
    .enum(['none', 'bubblewrap'])
    .default('none')
    .describe(
      '`bubblewrap`: the program sees only system programs and libraries, itself, the directory of its run, `readable_paths` and `writable_paths`, and no other processes; every process that it started ends with it. Needs the package bubblewrap. `none`: the program sees everything that its user may see.',
    ),
  readable_paths: sandboxPaths
    .default([])
    .describe('Further files and directories that a program in the sandbox can read.'),
  writable_paths: sandboxPaths
    .default([])
    .describe(
      'Further files and directories that a program in the sandbox can read and write, as far as its user may.',
    ),
}

const executableKeys = z.strictObject({
  command: command.describe(
    'The program and its arguments, as a list. No shell is used. The request is added as the last argument or sent on standard input.',
  ),
  connection: connection.prefault({}).describe('Where the program runs.'),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(3600)
    .default(30)
    .describe(
      'Longest time of one run, in seconds; then the program is killed, with every process that it started.',
    ),
  start_timeout_seconds: z
    .number()
    .min(0.1)
    .max(3600)
    .optional()
    .describe(
      'Longest time that the program may take to declare its parameters when the service starts, in seconds. Default: `timeout_seconds`. The service does not wait for it: until the program has answered, only its own service is unavailable. If it does not answer, it is asked again, after 5 seconds at first and every 5 minutes in the end.',
    ),
  maximum_output_bytes: z
    .int()
    .min(1024)
    .max(67_108_864)
    .default(1_048_576)
    .describe('Longest output of one run, in bytes; the program is killed if it writes more.'),
  parallel_runner: z
    .union([z.int().min(1).max(1000), z.literal('infinite')])
    .default(1)
    .describe(
      'How many runs may be in progress at the same time, or `infinite`. One user can have at most all but one of them, and at most 16.',
    ),
  maximum_waiting: z
    .int()
    .min(0)
    .max(10_000)
    .default(100)
    .describe(
      'How many requests may wait for a run; at most an eighth of them from one user. Further requests are refused with 503.',
    ),
  conf_params: z
    .record(
      z.string().regex(/^[a-z0-9_]{1,100}$/, 'must consist of lower-case letters, digits and _'),
      z
        .union([z.boolean(), z.string(), z.number()])
        .describe('Value of one parameter, of the declared type.'),
    )
    .default({})
    .describe(
      'Values of the configuration parameters that the program declares. `~/` at the start of a value is the home directory of the user who runs the program.',
    ),
  allow_insecure_plugins: z
    .boolean()
    .default(false)
    .describe(
      'True: the program may get the request as an argument, which every user of the machine can read in the process list.',
    ),
  reads_stdin: z
    .boolean()
    .default(false)
    .describe(
      'True: the program reads requests from standard input, although its answer to `parameter` does not say so (`features.stdin`). A program that reads only its argument then gets no request.',
    ),
  pass_access_token: z
    .boolean()
    .default(false)
    .describe(
      "True: the program gets the caller's access token. Only for programs that read standard input: see `reads_stdin`.",
    ),
  allow_same_state: z
    .boolean()
    .default(false)
    .describe(
      'True: the program may answer with the state of an existing credential of the identity, which then counts as the same credential.',
    ),
  environment: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,99}$/, 'must be the name of a variable'),
      z
        .string()
        .max(4096)
        .regex(/^[^\0]*$/)
        .describe('Value of one variable.'),
    )
    .default({})
    .describe(
      "Environment variables of the program in addition to PATH, LANG, HOME and TMPDIR. The service's own environment is not passed on. Not for secrets.",
    ),
  ...isolation,
  working_directory: absolutePath
    .optional()
    .describe(
      'Directory in which each run gets its own empty directory, which is removed afterwards. Default: the directory for temporary files.',
    ),
})

/** Settings of the executable of a service. */
export const executableSettings = executableKeys.superRefine((settings, context) => {
  const addProblem = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { connection, user, sandbox } = settings
  if (connection.type === 'ssh') {
    if (user !== undefined)
      addProblem('user', 'must not be set with connection.type ssh: see connection.user')
    if (sandbox !== 'none') addProblem('sandbox', 'must be none with connection.type ssh')
  }
  for (const key of ['readable_paths', 'writable_paths'] as const)
    if (sandbox === 'none' && settings[key].length > 0) addProblem(key, 'needs sandbox: bubblewrap')
})

export type ExecutableSettings = z.output<typeof executableSettings>
