/** Converts a watts.conf to a configuration of this service, with a report about every line. */
import { stringify } from 'yaml'
import { validationWords } from '../../plugins/validation-words.ts'
import { configurationError, isTree, type Tree } from '../config/settings-tree.ts'
import { configurationSchema } from '../config/schema.ts'
import { parseConf } from './conf-lines.ts'
import { type ImportedSecret, importProviders } from './providers.ts'
import { type Fate, type MigrationFinding, Reading } from './reading.ts'
import { importRelyingServices } from './relying-services.ts'
import { importServer } from './server.ts'
import { importServices } from './services.ts'

/** The result of a conversion. */
export interface ImportedWatts {
  readonly configuration: Tree
  readonly secrets: readonly ImportedSecret[]
  readonly findings: readonly MigrationFinding[]
}

/**
 * Converts a watts.conf.
 *
 * @param secretFile returns the path of a provider's secret file, for the configuration
 */
export function importWatts(
  text: string,
  secretFile: (secret: ImportedSecret) => string = ({ fileName }) => fileName,
): ImportedWatts {
  const reading = new Reading(parseConf(text))
  const { listen, log, publicUrl } = importServer(reading)
  const { providers, secrets, ids } = importProviders(reading, publicUrl)
  const relying = importRelyingServices(reading)
  // Includes disabled relying services: nobody comes from them, so rules about them can stay.
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
  reportSchemaProblems(reading, configuration)
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

/** Checks the result against the schema, so that the first start reveals no further problems. */
function reportSchemaProblems(reading: Reading, configuration: Tree): void {
  const result = configurationSchema.safeParse(configuration, { error: validationWords })
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
  problem: 'TO FIX before the service does the same as WaTTS:',
  changed: 'Converted with a difference:',
  dropped: 'Not converted:',
}

/** Returns the lines of the report, without settings that were converted unchanged. */
export function reportLines(findings: readonly MigrationFinding[]): readonly string[] {
  return (Object.keys(headings) as (keyof typeof headings)[]).flatMap((fate) => {
    const groups = new Map<string, MigrationFinding[]>()
    for (const finding of findings.filter((each) => each.fate === fate)) {
      const group = `${finding.to ?? ''} ${finding.note ?? ''}`
      groups.set(group, [...(groups.get(group) ?? []), finding])
    }
    const lines = [...groups.values()].map(findingLine)
    return lines.length === 0 ? [] : [headings[fate], ...lines, '']
  })
}

/** Returns one line for all findings with the same text. */
function findingLine(group: readonly MigrationFinding[]): string {
  const numbers = group.flatMap(({ line }) => (line === undefined ? [] : [line])).join(', ')
  const place = numbers === '' ? '' : `line ${numbers}: `
  const { to, note } = group[0] ?? {}
  const target = to === undefined ? '' : ` -> ${to}`
  const keys = [...new Set(group.map(({ key }) => key))].join(', ')
  return `  ${place}${keys}${target}${note === undefined ? '' : `: ${note}`}`
}

/** Returns the content of the configuration file: the report as comments, then the settings. */
export function asYaml({ configuration, findings }: ImportedWatts): string {
  const carried = findings.filter(({ fate }) => fate === 'carried').length
  const head = [
    `Written by \`tts import-watts\`; ${carried} settings were converted unchanged.`,
    '',
    ...reportLines(findings),
  ]
  return `${comment(head)}\n${stringify(configuration, { lineWidth: 0 })}`
}

/** Formats lines as comments. It removes line separators, so that text from the old file cannot end a comment. */
function comment(lines: readonly string[]): string {
  return lines
    .map((line) => `# ${line.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')}`.trimEnd() + '\n')
    .join('')
}
