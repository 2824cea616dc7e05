/** Prometheus rules and Grafana dashboards, by promtool and by a real Prometheus that scrapes real metrics. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { makeHeldProxy, standInEngine, testServer } from '../certcache/server-support.ts'
import { freePort } from '../support/free-port.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath } from '../support/programs.ts'
import { useTestService } from '../support/service.ts'

const run = promisify(execFile)
const rulesDirectory = programPath('deploy/prometheus')
const grafanaDirectory = programPath('deploy/grafana')
const files = (pattern: string): string[] => globSync(pattern, { cwd: rulesDirectory }).toSorted()

interface RuleFile {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[]
  }[]
}
interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string
      readonly exp_alerts: readonly unknown[]
    }[]
  }[]
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly Query[] }[]
}
interface Query {
  readonly expr: string
}

const yamlOf = (file: string): unknown => parse(readFileSync(join(rulesDirectory, file), 'utf8'))
const alertsOf = (file: string) => (yamlOf(file) as RuleFile).groups.flatMap(({ rules }) => rules)
const dashboards = readdirSync(grafanaDirectory).map((file) => ({
  file,
  queries: (
    JSON.parse(readFileSync(join(grafanaDirectory, file), 'utf8')) as Dashboard
  ).panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr }))),
}))

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-watch-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('the dashboards are what their script writes', async () => {
  const out = join(directory, 'grafana')
  await run(process.execPath, [programPath('scripts/write-dashboards.ts'), '--out', out])
  expect(readdirSync(out)).toEqual(readdirSync(grafanaDirectory))
  for (const file of readdirSync(out))
    expect(readFileSync(join(grafanaDirectory, file), 'utf8')).toBe(
      readFileSync(join(out, file), 'utf8'),
    )
})

describe.each(files('*.rules.yaml'))('%s', (file) => {
  const cases = (yamlOf(file.replace('.yaml', '.test.yaml')) as RuleTests).tests.flatMap(
    (one) => one.alert_rule_test,
  )
  test.for(alertsOf(file).map(({ alert }) => alert))(
    'has tests of when %s fires, and when it does not',
    (alert) => {
      const expected = cases.filter(({ alertname }) => alertname === alert)
      expect(expected.some(({ exp_alerts: alerts }) => alerts.length > 0)).toBe(true)
      expect(expected.some(({ exp_alerts: alerts }) => alerts.length === 0)).toBe(true)
    },
  )
})

describeWithTools('prometheus', ['prometheus'], () => {
  const version = /version (\d[\d.]*)/.exec(
    execFileSync('promtool', ['--version'], { encoding: 'utf8', stdio: 'pipe' }),
  )?.[1]

  test(`[promtool ${version}] finds no fault in the rules`, async () => {
    const { stdout } = await run('promtool', ['check', 'rules', ...files('*.rules.yaml')], {
      cwd: rulesDirectory,
    })
    expect(stdout.match(/SUCCESS: [1-9]\d* rules found/g)).toHaveLength(2)
  })

  test(`[promtool ${version}] each alert fires when it must`, async () => {
    const { stdout } = await run('promtool', ['test', 'rules', ...files('*.rules.test.yaml')], {
      cwd: rulesDirectory,
    })
    expect(stdout.match(/^ {2}SUCCESS$/gm)).toHaveLength(2)
  })

  test(`[promtool ${version}] sees a changed threshold`, async () => {
    const changed = join(directory, 'changed')
    mkdirSync(changed)
    const rules = readFileSync(join(rulesDirectory, 'tts.rules.yaml'), 'utf8')
    expect(rules).toContain('> 2 * 86400')
    writeFileSync(join(changed, 'tts.rules.yaml'), rules.replace('> 2 * 86400', '> 4 * 86400'))
    const tests = readFileSync(join(rulesDirectory, 'tts.rules.test.yaml'))
    writeFileSync(join(changed, 'tts.rules.test.yaml'), tests)
    await expect(
      run('promtool', ['test', 'rules', 'tts.rules.test.yaml'], { cwd: changed }),
    ).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('alertname: TtsCrlNotRenewed'),
    })
  })

  describe('that scrapes the programs', () => {
    const service = useTestService()
    const ends: (() => Promise<unknown>)[] = []
    let prometheus = ''
    let targets: readonly string[] = []
    beforeAll(async () => {
      const engine = standInEngine()
      engine.put(await makeHeldProxy())
      const cache = await testServer(engine)
      ends.push(() => cache.close(0))
      targets = [service().url, cache.url]
      prometheus = await startPrometheus(targets, ends)
    }, 60_000)
    afterAll(async () => {
      for (const end of ends.toReversed()) await end()
    })

    const ask = async (path: string): Promise<{ status: string; data: unknown }> =>
      (await fetch(`${prometheus}/api/v1/${path}`)).json() as never

    test('both are up, and each rule can be evaluated', async () => {
      await expect
        .poll(async () => (await ask(`query?query=${encodeURIComponent('sum(up)')}`)).data)
        .toMatchObject({ result: [{ value: [expect.any(Number), '2'] }] })
      const rules = async () =>
        (
          (await ask('rules')).data as { groups: { rules: { name: string; health: string }[] }[] }
        ).groups
          .flatMap((group) => group.rules)
          .map(({ name, health }) => `${name} ${health}`)
      const all = files('*.rules.yaml').flatMap(alertsOf)
      await expect
        .poll(async () => (await rules()).toSorted())
        .toEqual(all.map(({ alert }) => `${alert} ok`).toSorted())
    })

    test.for(dashboards)('$file: each query can be evaluated', async ({ queries }) => {
      for (const { title, expr } of queries) {
        const answer = await ask(`query?query=${encodeURIComponent(expr)}`)
        expect(answer, title).toMatchObject({ status: 'success' })
      }
    })

    test('rules and dashboards name only metrics that there are', async () => {
      const texts = await Promise.all(
        targets.map(async (url) => (await fetch(`${url}/metrics`)).text()),
      )
      const known = new Set(
        texts.flatMap((text) => [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name)),
      )
      const named = [
        ...files('*.rules.yaml').flatMap(alertsOf),
        ...dashboards.flatMap(({ queries }) => queries),
      ].flatMap(({ expr }) => expr.match(/\b(?:tts|certcache|process|nodejs)_\w+/g) ?? [])
      expect(named.length).toBeGreaterThan(30)
      const unknown = named.filter(
        (name) => !known.has(name) && !known.has(name.replace(/_(?:bucket|count|sum)$/, '')),
      )
      expect([...new Set(unknown)]).toEqual([])
    })
  })
})

/** Starts Prometheus with the rules and these targets; resolves with its URL when it is ready. */
async function startPrometheus(
  targets: readonly string[],
  ends: (() => Promise<unknown>)[],
): Promise<string> {
  const url = `http://127.0.0.1:${await freePort()}`
  const [tts, certcache] = targets.map((target) => ({ targets: [new URL(target).host] }))
  writeFileSync(
    join(directory, 'prometheus.yml'),
    stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [join(rulesDirectory, '*.rules.yaml')],
      scrape_configs: [
        { job_name: 'tts', static_configs: [tts] },
        { job_name: 'certcache', static_configs: [certcache] },
      ],
    }),
  )
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'tsdb')}`,
      `--web.listen-address=${new URL(url).host}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = once(child, 'close')
  ends.push(async () => {
    child.kill()
    await ended
  })
  const isReady = async (): Promise<boolean> =>
    fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`Prometheus has ended:\n${said}`)
    await delay(100)
  }
  return url
}
