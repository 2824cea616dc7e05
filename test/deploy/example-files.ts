/** What the examples in deploy/ say: the command of each, its variables, and the manifests. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { deployDirectory } from './shells.ts'

/** Text of a file in deploy/. */
export const deployed = (name: string): string => readFileSync(join(deployDirectory, name), 'utf8')

/** How the examples start certcache. */
export interface ExampleCommand {
  /** The program and its arguments. */
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

/** Values of a key of a systemd unit, one for each line. */
export const unitValues = (unit: string, key: string): readonly string[] =>
  [...deployed(`systemd/${unit}`).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(
    ([, value = '']) => value,
  )

/** The command of a systemd service; specifiers stand as they are. */
export function serviceCommand(unit: string): ExampleCommand {
  const [line = ''] = unitValues(unit, 'ExecStart')
  const pairs = unitValues(unit, 'Environment').map((each) => each.split(/=(.*)/s).slice(0, 2))
  return { words: line.split(' '), environment: Object.fromEntries(pairs) }
}

const cronLines = deployed('cron/certcache')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))

/** The lines of the example for cron that are jobs. */
export const cronJobs = cronLines.filter((line) => !/^\w+=/.test(line))

/** The command of the first job, as cron gives it to sh, and its variables. */
export function cronCommand(): ExampleCommand {
  const variables = cronLines.filter((line) => /^\w+=/.test(line))
  const command = /^(?:\S+ ){5}\S+ (.*)$/.exec(cronJobs[0] ?? '')?.[1] ?? ''
  const pairs = variables.map((line) => line.split(/=(.*)/s).slice(0, 2))
  return { words: command.split(' '), environment: Object.fromEntries(pairs) }
}

export interface Container {
  readonly name: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly {
    readonly name: string
    readonly value?: string
    readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } }
  }[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
}

interface Probe {
  readonly exec?: { readonly command: readonly string[] }
  readonly httpGet?: { readonly path: string; readonly port: string; readonly scheme: string }
}

export interface Manifest {
  readonly kind: string
  readonly spec: { readonly template?: { readonly spec: PodSpec } }
}

interface PodSpec {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes: readonly { readonly name: string }[]
  readonly securityContext: Readonly<Record<string, unknown>>
}

export const manifestFiles = readdirSync(join(deployDirectory, 'kubernetes')).filter((name) =>
  name.endsWith('.yaml'),
)

/** The manifests of a file. Throws for YAML that is not strictly right. */
export function manifestsOf(file: string): readonly Manifest[] {
  const text = deployed(`kubernetes/${file}`)
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    return document.toJS() as Manifest
  })
}

export const podsOf = (file: string): readonly PodSpec[] =>
  manifestsOf(file).flatMap(({ spec }) => (spec.template === undefined ? [] : [spec.template.spec]))

/** Whether a container runs certcache. */
export const isCertcache = ({ command }: Container): boolean =>
  command?.join(' ') === 'node /app/dist/certcache.js'

/** The command of the container of certcache. Secrets are given as `name/key`. */
export function containerCommand(file: string, secrets: (name: string) => string): ExampleCommand {
  const containers = podsOf(file).flatMap((pod) => [
    ...(pod.initContainers ?? []),
    ...pod.containers,
  ])
  const { command = [], args = [], env = [] } = containers.find(isCertcache) ?? {}
  const pairs = env.map(({ name, value, valueFrom }) => {
    const { name: secret = '', key = '' } = valueFrom?.secretKeyRef ?? {}
    return [name, value ?? secrets(`${secret}/${key}`)] as const
  })
  return { words: [...command, ...args], environment: Object.fromEntries(pairs) }
}
