/**
 * Writes the man pages and the completions of both programs into a directory: `man1/tts.1`, `man1/tts-proxy-init.1`, …,
 * and `bash/tts`, `zsh/_tts`, `fish/tts.fish`. Argument: the directory.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commandsBelow } from '../src/cli/completion/commands.ts'
import { completionFileName, completionFor, shells } from '../src/cli/completion/shells.ts'
import { manPage } from './man-page.ts'
import { describedPrograms } from './programs.ts'
import { provenanceOf } from './provenance.ts'

const { positionals } = parseArgs({ allowPositionals: true })
const [directory] = positionals
if (directory === undefined || positionals.length > 1)
  throw new Error('usage: node scripts/write-man-pages.ts DIRECTORY')

const manifest = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')
const { version } = JSON.parse(manifest) as { version: string }
const date = provenanceOf(join(import.meta.dirname, '..')).builtAt.slice(0, 10)
let printed = ''
const programs = describedPrograms(version, (text) => {
  printed += text
})
for (const part of ['man1', ...shells]) mkdirSync(join(directory, part), { recursive: true })
for (const program of Object.values(programs)) {
  for (const { words, command } of commandsBelow(program)) {
    printed = ''
    command.outputHelp()
    const afterHelp = printed.slice(command.helpInformation().length)
    const page = manPage({ command, words, version, date, afterHelp })
    writeFileSync(join(directory, 'man1', `${words.join('-')}.1`), page)
  }
  for (const shell of shells) {
    const path = join(directory, shell, completionFileName(shell, program.name()))
    writeFileSync(path, completionFor(shell, program))
  }
}
