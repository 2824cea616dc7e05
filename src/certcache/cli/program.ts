/** The command tree of certcache. */
import { Command } from 'commander'
import type { BuildInfo } from '../../base/build-info.ts'
import { inheritSettings, runCommandLine } from '../../cli/command-line.ts'
import { completionCommand } from '../../cli/completion/command.ts'
import { exitCodes } from '../../cli/exit-codes.ts'
import { versionCommand } from '../../cli/version.ts'
import { loginCommand } from './login.ts'
import { refreshCommand } from './refresh.ts'
import { certcacheServeCommand } from './serve.ts'
import { nagiosCodes, statusCommand } from './status.ts'
import type { CliRuntime } from './runtime.ts'

/** Creates the command tree. */
export function createCertcacheProgram(runtime: CliRuntime, build: BuildInfo): Command {
  const { version } = build
  const program = new Command('certcache')
    .description('turns an access token into proxies and renews them, for unattended workers')
    .version(version)
    .option(
      '-c, --config <FILE>',
      'settings file (default: CERTCACHE_CONFIG, ./certcache.yaml, /etc/certcache/certcache.yaml)',
    )
    .showHelpAfterError('(run it with --help to see the options)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => runtime.out(text),
      writeErr: (text) => runtime.note(text.trimEnd()),
    })
  program
    .addCommand(certcacheServeCommand(runtime, version))
    .addCommand(refreshCommand(runtime))
    .addCommand(statusCommand(runtime, version))
    .addCommand(loginCommand(runtime))
    .addCommand(
      versionCommand('certcache', build, (text) => runtime.out(text)).option(
        '--json',
        'print JSON',
      ),
    )
    .addCommand(completionCommand('certcache', (text) => runtime.out(text)))
  program.addHelpText(
    'after',
    `
Examples:
  certcache serve --url https://tts.example.org          start with the token in BEARER_TOKEN or /tmp/bt_u$ID
  curl http://127.0.0.1:8081/get_proxy                   fetch the proxy, as a worker does
  certcache status                                       show the status and until when renewal works

The environment can set every key of the settings: CERTCACHE_LISTEN__PORT=9000 sets listen.port. The variables of the
old DODAS cache (IAM_TOKEN, IAM_CLIENT_ID, PROXY_AUDIENCE, …) still work.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR: see docs/network.md.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 refused, 4 a server cannot be reached (try again), 5 not
found. \`certcache status\` uses the exit codes of Nagios plugins instead.`,
  )
  inheritSettings(program)
  return program
}

/** Runs the command line and returns its exit code; `status` ends with those of Nagios plugins. */
export async function runCertcache(
  program: Command,
  argv: readonly string[],
  runtime: CliRuntime,
): Promise<number> {
  const code = await runCommandLine(program, argv, (line) => runtime.note(line))
  // Nagios interprets every exit code of `status`, even that of a mistyped option.
  return code !== exitCodes.done && argv.includes('status') ? nagiosCodes.unknown : code
}
