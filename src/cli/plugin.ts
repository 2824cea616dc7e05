/** `tts plugin test`: tests an executable against the WaTTS plugin protocol. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { validationWords } from '../../plugins/validation-words.ts'
import {
  examineExecutable,
  type PluginCheck,
  type PluginExamination,
} from '../../plugins/executable/examine.ts'
import { type ExecutableSettings, executableSettings } from '../../plugins/executable/settings.ts'
import type { PluginCaller } from '../../plugins/plugin.ts'
import { TtsError } from '../base/errors.ts'
import { readTokenFile } from '../files/bearer-token.ts'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import { waitSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

interface TestOptions {
  readonly conf: readonly string[]
  readonly params?: string
  readonly issuer: string
  readonly sub: string
  readonly stdin?: boolean
  readonly tokenFile?: string
  readonly request?: boolean
  readonly revoke?: string
  readonly wait: number
  readonly user?: string
  readonly sandbox?: boolean
  readonly json?: boolean
}

/** The user of the test requests, unless options name another one. */
const TEST_ISSUER = 'https://iam.example.org/'
const TEST_SUB = 'tts-plugin-test'
const TEST_CLAIMS = {
  name: 'Plugin Test',
  email: 'plugin-test@example.org',
  scope: 'openid profile email',
}

export function pluginCommand(terminal: Terminal): Command {
  const command = new Command('plugin').description(
    'test executables that implement the WaTTS plugin protocol',
  )
  command
    .command('test')
    .argument('<file>', 'path of the program')
    .description(
      'run a program as the service would, and check that it follows the plugin protocol',
    )
    .option(
      '--conf <SETTING>',
      'a value of conf_params as name=value; repeat it for more values',
      (text: string, before: readonly string[]) => [...before, text],
      [],
    )
    .option('--request', 'also request a credential, which the program really creates')
    .option('--params <JSON>', 'parameters of the request as a JSON object; needs --request')
    .option('--revoke <STATE>', 'revoke the credential with this state')
    .option(
      '--issuer <URL>',
      'issuer of the user, with the slash at its end if the provider writes one',
      TEST_ISSUER,
    )
    .option('--sub <SUB>', 'subject (claim sub) of the user', TEST_SUB)
    .option(
      '--token-file <FILE>',
      'pass the access token in this file, like the setting pass_access_token',
    )
    .option('--stdin', 'send requests on standard input, like the setting reads_stdin')
    .option('--wait <SECONDS>', 'time limit for each run, in seconds', waitSeconds, 30)
    .option(
      '--user <USER>',
      'run the program as this user, like the setting executable.user; needs root',
    )
    .option('--sandbox', 'run the program with bubblewrap, like the setting sandbox: bubblewrap')
    .addHelpText(
      'after',
      `
The program gets the same input as from the service for this user. watts_userid is the id under which WaTTS knew the user.
Exit codes: 0 all checks passed (there may be warnings), 1 a check failed, 2 wrong usage, 5 no such file.

Examples:
  tts plugin test ./myplugin.py
  tts plugin test ./myplugin.py --conf host=db.example.org --request --params '{"pub_key":"ssh-ed25519 AAAA…"}'
  tts plugin test ./myplugin.py --revoke 42`,
    )
    .action((file: string, _options, self: Command) =>
      pluginTest(terminal, file, self.optsWithGlobals()),
    )
  return command
}

async function pluginTest(terminal: Terminal, file: string, options: TestOptions): Promise<void> {
  const path = resolve(file)
  if (!existsSync(path))
    throw new TtsError('not_found', `the file ${path} does not exist`, {
      remedy: 'Give the path of the program.',
    })
  if (options.params !== undefined && options.request !== true)
    throw new TtsError('invalid_request', '--params needs --request')
  const examined = await examineExecutable({
    settings: settingsOf(path, options),
    caller: await callerOf(options),
    params: options.request === true ? parametersOf(options.params ?? '{}') : undefined,
    state: options.revoke,
    signal: new AbortController().signal,
  })
  const result = { ...examined, checks: [...userChecks(options), ...examined.checks] }
  terminal.out(options.json ? `${JSON.stringify(result, null, 2)}\n` : report(result))
  if (examined.checks.some(({ state }) => state === 'failed')) terminal.exitWith(exitCodes.failed)
}

async function callerOf({ issuer, sub, tokenFile }: TestOptions): Promise<PluginCaller> {
  return {
    issuer: withoutTrailingSlash(issuer),
    publishedIssuer: issuer,
    sub,
    claims: TEST_CLAIMS,
    accessToken: tokenFile === undefined ? undefined : await readTokenFile(tokenFile),
    additionalLogins: [],
  }
}

/** Warns about a test as root: a service that runs as root would refuse this configuration. */
function userChecks({ user }: TestOptions): readonly PluginCheck[] {
  if (process.geteuid?.() !== 0 || user !== undefined) return []
  return [
    {
      check: 'user',
      state: 'warning',
      detail: 'the program ran as root',
      remedy:
        'Use --user with the user of the service or of executable.user. A service that runs as root refuses to start without executable.user.',
    },
  ]
}

function settingsOf(path: string, options: TestOptions): ExecutableSettings {
  const { conf, wait, user, sandbox, stdin, tokenFile } = options
  const pairs = conf.map((text) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
    if (name === undefined || value === undefined)
      throw new TtsError('invalid_request', `--conf ${text}: must have the form name=value`)
    return [name, value] as const
  })
  const given = {
    command: [path],
    timeout_seconds: wait,
    conf_params: Object.fromEntries(pairs),
    reads_stdin: stdin ?? false,
    pass_access_token: tokenFile !== undefined,
    ...(user === undefined ? { allow_root: true } : { user }),
    ...(sandbox === true && { sandbox: 'bubblewrap' }),
  }
  const settings = executableSettings.safeParse(given, { error: validationWords })
  if (settings.success) return settings.data
  const [issue] = settings.error.issues
  throw new TtsError(
    'invalid_request',
    `${issue?.path.join('.') ?? 'settings'}: ${issue?.message ?? 'wrong'}`,
  )
}

function parametersOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new TtsError('invalid_request', '--params must be JSON')
  }
}

function report({ checks, answers }: PluginExamination): string {
  const answerTexts = Object.entries(answers).map(
    ([action, answer]) => `\nanswer to ${action}:\n${JSON.stringify(answer, null, 2)}\n`,
  )
  return [...checks.map(line), ...answerTexts].join('')
}

function line({ check, state, detail, remedy }: PluginCheck): string {
  const mark = { ok: 'ok      ', warning: 'warning ', failed: 'FAILED  ' }[state]
  return `${mark} ${check}: ${detail}\n${remedy === undefined || state === 'ok' ? '' : `         -> ${remedy}\n`}`
}
