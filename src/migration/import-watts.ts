/** A watts.conf becomes a configuration of ours, with a report of what became of every line. */
import { stringify } from 'yaml'
import { configurationError, isTree, type Tree } from '../config/settings-tree.ts'
import { configurationSchema } from '../config/schema.ts'
import { parseConf } from './conf-lines.ts'
import { type ImportedSecret, importProviders } from './providers.ts'
import { type Fate, type MigrationFinding, Reading } from './reading.ts'
import { importRelyingServices } from './relying-services.ts'
import { importServer } from './server.ts'
import { importServices } from './services.ts'

/** What came of a watts.conf. */
export interface ImportedWatts {
  readonly configuration: Tree
  readonly secrets: readonly ImportedSecret[]
  readonly findings: readonly MigrationFinding[]
}

/**
 * Carries over a watts.conf.
 *
 * @param secretFile where the secret of a provider will be, as its configuration shall name it
 */
export function importWatts(
  text: string,
  secretFile: (secret: ImportedSecret) => string = ({ fileName }) => fileName,
): ImportedWatts {
  const reading = new Reading(parseConf(text))
  const { listen, log, publicUrl } = importServer(reading)
  const { providers, secrets, ids } = importProviders(reading, publicUrl)
  const relying = importRelyingServices(reading)
  // Also those that were off: nobody comes from them, so rules about them may stay.
  const relyingServices = reading.ids('rsp')
  const services = importServices(reading, { providers: ids, relyingServices })
  nameSecretFiles(providers, secrets, secretFile)
  const configuration = {
    listen,
    providers,
    services,
    ...(relying !== undefined && { relying_services: relying }),
    ...(log !== undefined && { log }),
  }
  remarkWhatDoesNotLoad(reading, configuration)
  return { configuration, secrets, findings: reading.findings() }
}

function nameSecretFiles(
  providers: Tree,
  secrets: readonly ImportedSecret[],
  secretFile: (secret: ImportedSecret) => string,
): void {
  for (const secret of secrets) {
    const provider = providers[secret.provider]
    if (isTree(provider)) provider['client_secret_file'] = secretFile(secret)
  }
}

/** The result is held against the schema at once, so that the first start tells nothing new. */
function remarkWhatDoesNotLoad(reading: Reading, configuration: Tree): void {
  const result = configurationSchema.safeParse(configuration)
  if (result.success) return
  const { message } = configurationError(result.error, origin(configuration))
  for (const line of message.split('\n').slice(1)) {
    const [, key = '', note = ''] = /^ *([^:]+): (.*)$/.exec(line) ?? []
    reading.remark('problem', key, note)
  }
}

const origin = (input: Tree) => ({
  path: 'tts.yaml',
  prefix: 'TTS_',
  input,
  reference: 'docs/configuration.md',
})

const headings: Readonly<Record<Exclude<Fate, 'carried'>, string>> = {
  problem: 'TO FIX before this does what WaTTS did:',
  changed: 'Carried over with a difference:',
  dropped: 'Not carried over:',
}

/** The report in lines, without the settings that were simply carried over. */
export function reportLines(findings: readonly MigrationFinding[]): readonly string[] {
  return (Object.keys(headings) as (keyof typeof headings)[]).flatMap((fate) => {
    const alike = new Map<string, MigrationFinding[]>()
    for (const finding of findings.filter((each) => each.fate === fate)) {
      const what = `${finding.to ?? ''} ${finding.note ?? ''}`
      alike.set(what, [...(alike.get(what) ?? []), finding])
    }
    const lines = [...alike.values()].map(findingLine)
    return lines.length === 0 ? [] : [headings[fate], ...lines, '']
  })
}

/** Lines of which the same is to be said are told together. */
function findingLine(alike: readonly MigrationFinding[]): string {
  const numbers = alike.flatMap(({ line }) => (line === undefined ? [] : [line])).join(', ')
  const place = numbers === '' ? '' : `line ${numbers}: `
  const { to, note } = alike[0] ?? {}
  const target = to === undefined ? '' : ` -> ${to}`
  const keys = [...new Set(alike.map(({ key }) => key))].join(', ')
  return `  ${place}${keys}${target}${note === undefined ? '' : `: ${note}`}`
}

/** The configuration file: the report as comments, then the settings. */
export function asYaml({ configuration, findings }: ImportedWatts): string {
  const carried = findings.filter(({ fate }) => fate === 'carried').length
  const head = [
    `Written by \`tts import-watts\`; ${carried} settings were carried over as they were.`,
    '',
    ...reportLines(findings),
  ]
  return `${comment(head)}\n${stringify(configuration, { lineWidth: 0 })}`
}

/** Nothing of the old file may end a comment: whatever parts lines is taken out. */
function comment(lines: readonly string[]): string {
  return lines
    .map((line) => `# ${line.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')}`.trimEnd() + '\n')
    .join('')
}
