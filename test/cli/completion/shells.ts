/** What real shells propose, with the completions of both programs loaded. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Shell } from '../../../src/cli/completion/shells.ts'

/** A directory with the completions of each shell below its name, and a directory `files` to complete files in. */
export interface CompletionSetup {
  readonly directory: string
}

/** Returns what a shell proposes for the last word of each command line. */
export const proposals: Readonly<
  Record<Shell, (setup: CompletionSetup, lines: readonly string[]) => readonly string[][]>
> = {
  bash: (setup, lines) => lines.map((line) => inBash(setup, line)),
  zsh: inZsh,
  fish: inFish,
}

/** bash hands a completion the words of the line, and takes `--option=value` apart at the `=`. */
function inBash({ directory }: CompletionSetup, line: string): string[] {
  const words = line.split(' ').flatMap((word) => word.split(/(=)/))
  const typed = line.endsWith('=') ? words.slice(0, -1) : words
  const [program = ''] = words
  const script = [
    `. "${join(directory, 'bash', program)}"`,
    'COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))',
    `_${program}`,
    '[ "${#COMPREPLY[@]}" = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"',
  ].join('\n')
  const run = ['-uc', script, 'bash', ...typed]
  return linesOf(execFileSync('bash', run, { cwd: join(directory, 'files'), encoding: 'utf8' }))
}

function inFish({ directory }: CompletionSetup, lines: readonly string[]): string[][] {
  const script = [
    'for file in $argv[1]/*.fish; source $file; end',
    'for line in $argv[2..-1]; complete -C $line; echo END; end',
  ].join('\n')
  const run = ['--no-config', '-c', script, join(directory, 'fish'), ...lines]
  const out = execFileSync('fish', run, { cwd: join(directory, 'files'), encoding: 'utf8' })
  // A description comes after a tab. Values of --option=value come with the option, directories with a slash.
  return blocksOf(out).map((block) =>
    block.map((proposed) =>
      (proposed.split('\t')[0] ?? '').replace(/^--[\w-]+=/, '').replace(/\/$/, ''),
    ),
  )
}

/**
 * zsh completes in its line editor only: an interactive zsh behind a pseudo-terminal gets each line and a tab, and
 * notes what it would propose. Some of its functions propose the same file twice, which the line editor shows once.
 */
function inZsh({ directory }: CompletionSetup, lines: readonly string[]): string[][] {
  const home = join(directory, 'zsh-home')
  mkdirSync(home, { recursive: true })
  const noted = join(home, 'noted')
  writeFileSync(noted, '')
  writeFileSync(join(home, '.zshrc'), zshSettings(join(directory, 'zsh'), noted))
  writeFileSync(join(home, 'lines'), lines.map((line) => `${line}\n`).join(''))
  execFileSync('zsh', ['-f', '-c', zshDriver, 'zsh', join(home, 'lines')], {
    cwd: join(directory, 'files'),
    env: { PATH: process.env['PATH'] ?? '', ZDOTDIR: home, TERM: 'dumb', HOME: home },
    timeout: 60_000,
  })
  return blocksOf(readFileSync(noted, 'utf8')).map((block) => [...new Set(block)])
}

const zshSettings = (completions: string, noted: string): string => `
PROMPT=
fpath=(${completions} $fpath)
autoload -Uz compinit
compinit -u -D
setopt NO_LIST_BEEP NO_BEEP
compadd() {
  # Calls that only fill an array propose nothing.
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a matching
  builtin compadd -A matching "$@"
  (( $#matching )) && print -rl -- "\${matching[@]}" >> ${noted}
  builtin compadd "$@"
}
note-end() { print END >> ${noted}; BUFFER=; print -n READY }
zle -N note-end
bindkey '^Y' note-end
print -n READY
`

const zshDriver = `
zmodload zsh/zpty
zpty shell zsh -d -i
zpty -r -m shell ready '*READY*'
while IFS= read -r line; do
  zpty -w -n shell "$line"$'\\t\\x19'
  zpty -r -m shell ready '*READY*'
done < "$1"
zpty -d shell
`

/** What the shell proposed for each line; the word END ends each. */
const blocksOf = (text: string): string[][] => text.split('END\n').slice(0, -1).map(linesOf)

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')
