/** Writes the doctor's cases to disk, where the parties can be asked about them. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Examination } from '../../../ca/doctor/context.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { type Illness, makePatient } from '../../ca/doctor/patient.ts'
import type { PatientFiles } from './party.ts'

export interface CorpusCase extends Illness {
  readonly title: string
}

export interface WrittenCase {
  readonly title: string
  readonly files: PatientFiles
  /** Undefined: our parser refuses the file, so the doctor says that it is not a proxy file. */
  readonly examination: Examination | undefined
}

export interface Corpus {
  readonly cases: readonly WrittenCase[]
  close(): Promise<void>
}

export async function writeCorpus(cases: readonly CorpusCase[]): Promise<Corpus> {
  const root = await mkdtemp(join(tmpdir(), 'tts-corpus-'))
  const written: WrittenCase[] = []
  for (const [index, one] of cases.entries()) {
    written.push(await writeCase(join(root, String(index)), one))
  }
  return { cases: written, close: () => rm(root, { recursive: true, force: true }) }
}

async function writeCase(directory: string, one: CorpusCase): Promise<WrittenCase> {
  const now = new Date()
  const { text, files, examination, chain } = await makePatient(one, now)
  const trustAnchorDir = join(directory, 'trust-anchors')
  const proxyPath = join(directory, 'proxy')
  await mkdir(trustAnchorDir, { recursive: true })
  for (const file of files) await writeFile(join(trustAnchorDir, file.name), file.content)
  await writeFile(proxyPath, text, { mode: 0o600, encoding: 'latin1' })
  await chmod(proxyPath, one.fileFacts?.mode ?? 0o600)
  return {
    title: one.title,
    files: {
      directory,
      proxyPath,
      trustAnchorDir,
      identity: formatSlashDn(chain.endEntity.certificate.subject),
    },
    examination,
  }
}
