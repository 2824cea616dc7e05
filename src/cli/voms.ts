/** `tts voms …`: shows the VOs, and writes the files that VOMS clients and relying parties need. */
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { fileError } from '../files/file-errors.ts'
import { STANDARD_OUTPUT } from '../files/output-file.ts'
import { packTrustAnchors } from '../files/trust-anchor-archive.ts'
import { writeTrustAnchorDirectory } from '../files/trust-anchor-directory.ts'
import type { VomsClientFile } from '../domain/voms/client-files.ts'
import { vomsFilesOf } from '../service/compose-voms.ts'
import { TtsError } from '../base/errors.ts'
import { actAsCaller } from './act-as-owner.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withCoreOf,
} from './terminal.ts'

export function vomsCommand(terminal: Terminal): Command {
  const command = new Command('voms').description(
    'VOMS attributes: export what clients and relying parties need',
  )
  command
    .command('export')
    .argument('<directory>', 'for example /etc/grid-security; `-`: a .tar.gz to standard output')
    .description(
      'write vomses (for clients) and vomsdir/VO/HOST.lsc (for relying parties, which trust these attributes by it)',
    )
    .action((directory: string, _options, self: Command) =>
      exportFiles(terminal, self.optsWithGlobals(), directory),
    )
  return command.addHelpText(
    'after',
    `
Examples:
  tts voms export /etc/grid-security
  X509_VOMS_DIR=DIR/vomsdir voms-proxy-init -vomses DIR/vomses -voms VO -noregen

The service offers the same files at /ca/voms.tar.gz. VOMS clients look for vomses in /etc, too.`,
  )
}

async function exportFiles(
  terminal: Terminal,
  options: OperatorOptions,
  directory: string,
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options, 'until_written')
  const files = await withCoreOf(terminal, loaded, async (core) => vomsFilesOf(core))
  if (files.length === 0)
    throw new TtsError('configuration', 'no VO is configured', {
      check: 'voms',
      remedy: 'Add VOs to the section voms.vos of the configuration. See docs/voms.md.',
    })
  if (directory === STANDARD_OUTPUT) {
    terminal.out(
      await packTrustAnchors(files.map(({ path: name, content }) => ({ name, content }))),
    )
    return
  }
  // Only root may write to /etc/grid-security.
  actAsCaller()
  await writeFiles(directory, files).catch((cause: unknown) => {
    throw fileError(`the VOMS files cannot be written to ${directory}`, cause)
  })
  terminal.note(
    `Wrote ${files.length} files to ${directory}. If this is not /etc/grid-security, set X509_VOMS_DIR=${join(directory, 'vomsdir')}; clients take the option -vomses ${join(directory, 'vomses')}.`,
  )
}

async function writeFiles(directory: string, files: readonly VomsClientFile[]): Promise<void> {
  for (const { path, content } of files) {
    const at = join(directory, path)
    // Each level by itself: it makes only the last one.
    const levels = dirname(path) === '.' ? [] : dirname(path).split('/')
    for (const [depth] of ['', ...levels].entries())
      await writeTrustAnchorDirectory(join(directory, ...levels.slice(0, depth)), [])
    const name = at.slice(dirname(at).length + 1)
    await writeTrustAnchorDirectory(dirname(at), [{ name, content }])
  }
}
