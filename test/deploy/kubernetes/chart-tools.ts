/** Helm, and the program that decodes Kubernetes objects strictly (chart-tools/main.go). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { parseAllDocuments } from 'yaml'
import { buildGoPrograms, goModuleVersion, type GoPrograms } from '../../support/go-programs.ts'
import { deployDirectory } from '../shells.ts'

export const charts = ['tts', 'certcache'] as const
export type Chart = (typeof charts)[number]

const toolsDirectory = join(import.meta.dirname, 'chart-tools')

/** What judges the charts, for the names of tests. */
export const chartJudges = [
  `[helm ${goModuleVersion(toolsDirectory, 'helm.sh/helm/v4')}]`,
  `[k8s.io/api ${goModuleVersion(toolsDirectory, 'k8s.io/api')}]`,
].join(' ')

export const buildChartTools = async (): Promise<GoPrograms> =>
  buildGoPrograms({
    name: 'chart-tools',
    directory: toolsDirectory,
    packages: ['helm.sh/helm/v4/cmd/helm', '.'],
    leastGo: [1, 26],
    buildOptions: ['-ldflags', '-s -w'],
    environment: { CGO_ENABLED: '0' },
  })

export const chartPath = (chart: Chart): string => join(deployDirectory, 'helm', chart)

export type Values = Readonly<Record<string, unknown>>

export interface Rendered {
  readonly code: number
  /** YAML, if it succeeded. */
  readonly out: string
  readonly err: string
}

/** An object as it is rendered. */
export interface KubernetesDocument {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string } & Values
  readonly [key: string]: unknown
}

export interface ChartTools {
  /** Runs helm with nothing of this user's configuration. */
  helm(words: readonly string[]): Promise<Rendered>
  /** Renders a chart as the release `site` in the namespace `grid`. */
  render(chart: Chart, values: Values, words?: readonly string[]): Promise<Rendered>
  /** Returns what is wrong with each object: kind and name, with its problems. */
  problems(yaml: string): Promise<
    readonly {
      readonly kind: string
      readonly name: string
      readonly problems: readonly string[]
    }[]
  >
}

/** @param directory for the files of helm; exists, and is removed by the caller */
export function openChartTools(programs: string, directory: string): ChartTools {
  for (const name of ['cache', 'config', 'data']) mkdirSync(join(directory, name))
  const env = {
    PATH: process.env['PATH'],
    HOME: directory,
    HELM_CACHE_HOME: join(directory, 'cache'),
    HELM_CONFIG_HOME: join(directory, 'config'),
    HELM_DATA_HOME: join(directory, 'data'),
  }
  const run = async (program: string, words: readonly string[], input = ''): Promise<Rendered> => {
    const child = spawn(join(programs, program), [...words], { env, timeout: 60_000 })
    child.stdin.end(input)
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ])
    return { code: code ?? -1, out, err }
  }
  return {
    helm: async (words) => run('helm', words),
    render: async (chart, values, words = []) => {
      const options = ['--namespace', 'grid', '--kube-version', '1.37.0', '--values', '-', ...words]
      return run('helm', ['template', 'site', chartPath(chart), ...options], JSON.stringify(values))
    },
    problems: async (yaml) => {
      const { code, out, err } = await run('charttools', [], yaml)
      if (code !== 0) throw new Error(err)
      return out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { kind: string; name: string; problems: string[] })
    },
  }
}

/** Parses rendered objects, strictly. */
export function documentsOf(yaml: string): readonly KubernetesDocument[] {
  return parseAllDocuments(yaml, { strict: true, uniqueKeys: true }).flatMap((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    const object = document.toJS() as KubernetesDocument | null
    return object === null ? [] : [object]
  })
}
