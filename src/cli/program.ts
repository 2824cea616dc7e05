/** The tree of commands of `tts`. */
import { Command } from 'commander'
import type { BuildInfo } from '../base/build-info.ts'
import { authzCommand } from './authz.ts'
import { caCommand } from './ca.ts'
import { checkCommand } from './check/command.ts'
import { inheritSettings } from './command-line.ts'
import { auditCommand } from './audit.ts'
import { backupCommand, restoreCommand } from './backup.ts'
import { banCommand } from './ban.ts'
import { completionCommand } from './completion/command.ts'
import { credentialCommand } from './credential.ts'
import { delegationCommand } from './delegation.ts'
import { importWattsCommand } from './import-watts.ts'
import { myCommand } from './my.ts'
import { accessTokenKeyCommand } from './access-token-key.ts'
import { masterKeyCommand } from './master-key.ts'
import { pluginCommand } from './plugin.ts'
import { providerCommand } from './provider.ts'
import { proxyDestroyCommand } from './proxy-destroy.ts'
import { proxyInfoCommand } from './proxy-info.ts'
import { proxyInitCommand } from './proxy-init.ts'
import { serveCommand } from './serve.ts'
import { sshCaCommand } from './ssh.ts'
import { type Terminal, withCore } from './terminal.ts'
import { versionCommand } from './version.ts'
import { vomsCommand } from './voms.ts'

/** Returns the command line program. */
export function createProgram(terminal: Terminal, build: BuildInfo): Command {
  const program = new Command('tts')
    .description(
      'Token Translation Service: turns access tokens into X.509 credentials for grid middleware',
    )
    .version(build.version)
    .option(
      '-c, --config <FILE>',
      'configuration file (default: TTS_CONFIG, ./tts.yaml, /etc/tts/tts.yaml, or built-in defaults)',
    )
    .option('--json', 'print results as JSON, for scripts')
    .showHelpAfterError('(run the command with --help to see its options)')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.note(text.trimEnd()),
    })
  for (const command of commandsOf(terminal, build)) program.addCommand(command)
  program.addHelpText(
    'after',
    `
Exit codes: 0 success, 1 failed, 2 wrong usage or configuration, 3 token missing or refused,
4 service unreachable or busy (try again), 5 not found, 6 a relying party would refuse the proxy.

Try it out:    npm run demo
As a user:     tts proxy init --url https://tts.example.org && tts proxy info --explain`,
  )
  inheritSettings(program)
  return program
}

function commandsOf(terminal: Terminal, build: BuildInfo): readonly Command[] {
  const proxy = new Command('proxy')
    .description('create a proxy file from a token, examine one, or destroy one')
    .addCommand(proxyInitCommand(terminal))
    .addCommand(proxyInfoCommand(terminal))
    .addCommand(proxyDestroyCommand(terminal))
    .addHelpText(
      'after',
      `
Examples:
  BEARER_TOKEN=$(oidc-token --aud https://tts.example.org iam) tts proxy init --url https://tts.example.org
  tts proxy info --explain`,
    )
  return [
    serveCommand(terminal),
    checkCommand(terminal),
    caCommand(terminal),
    vomsCommand(terminal),
    credentialCommand(terminal),
    delegationCommand(terminal),
    auditCommand(terminal),
    banCommand(terminal),
    authzCommand(terminal),
    proxy,
    myCommand(terminal),
    providerCommand(terminal),
    masterKeyCommand(terminal),
    accessTokenKeyCommand(terminal),
    backupCommand(terminal),
    restoreCommand(terminal),
    importWattsCommand(terminal),
    pluginCommand(terminal),
    versionCommand('tts', build, (text) => terminal.out(text)),
    completionCommand('tts', (text) => terminal.out(text)),
    sshCaCommand(terminal, (options) =>
      withCore(terminal, options, ({ store, now }) => store.revokedSshSerials(now())),
    ),
  ]
}
