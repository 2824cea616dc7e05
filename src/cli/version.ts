/** `tts version` and `certcache version`: what runs, and how it was built. */
import { Command } from 'commander'
import type { BuildInfo } from '../base/build-info.ts'

/** The command of a program that has no option `--json` for all commands needs `.option('--json')` itself. */
export function versionCommand(
  program: 'tts' | 'certcache',
  build: BuildInfo,
  out: (text: string) => void,
): Command {
  return new Command('version')
    .description('print the version, the commit, the build date and the Node.js that runs it')
    .addHelpText(
      'after',
      `
Commit and build date are known of installed packages, not of a program that runs from its sources.

Examples:
  ${program} version
  ${program} version --json | jq -r .version`,
    )
    .action((_options, self: Command) => {
      const { json = false } = self.optsWithGlobals<{ json?: boolean }>()
      out(json ? `${JSON.stringify(fieldsOf(build))}\n` : sentenceOf(build))
    })
}

const fieldsOf = ({ version, commit, builtAt }: BuildInfo) => ({
  version,
  commit: commit ?? null,
  built_at: builtAt ?? null,
  node: process.version,
})

function sentenceOf({ version, commit, builtAt }: BuildInfo): string {
  const built = commit === undefined ? 'from its sources' : `commit ${commit}, built ${builtAt}`
  return `${version} (${built}, Node.js ${process.version})\n`
}
