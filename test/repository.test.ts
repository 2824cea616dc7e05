/** Files that only other programs read (GitHub, editors, dev containers): they would break in silence. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { resolveConfig } from 'prettier'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import manifest from '../package.json' with { type: 'json' }

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const yaml = (path: string): unknown => parse(read(path), { strict: true, uniqueKeys: true })
const text = z.string().min(1)

/**
 * @see
 * https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema
 */
const formElement = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('markdown'), attributes: z.strictObject({ value: text }) }),
  z.strictObject({
    type: z.enum(['textarea', 'input']),
    id: z.string().regex(/^[a-z]+$/),
    attributes: z.strictObject({
      label: text,
      description: text,
      render: z.enum(['text', 'json']).optional(),
    }),
    validations: z.strictObject({ required: z.boolean() }).optional(),
  }),
])
const form = z.strictObject({
  name: text,
  description: text,
  labels: z.array(text),
  body: z.array(formElement).min(1),
})
const chooser = z.strictObject({
  blank_issues_enabled: z.boolean(),
  contact_links: z.array(z.strictObject({ name: text, about: text, url: z.url() })),
})

describe('issue templates', () => {
  const directory = '.github/ISSUE_TEMPLATE'

  test('are forms', () => {
    const names = readdirSync(join(root, directory)).toSorted()
    expect(names).toEqual(['bug.yml', 'config.yml', 'feature.yml'])
    for (const name of ['bug.yml', 'feature.yml']) {
      const { body } = form.parse(yaml(`${directory}/${name}`))
      const ids = body.flatMap((element) => ('id' in element ? [element.id] : []))
      expect(new Set(ids).size).toBe(ids.length)
      expect(read(`${directory}/${name}`)).toMatch(/never paste tokens, private keys/i)
    }
  })

  test('lead those who found a vulnerability to SECURITY.md', () => {
    const { contact_links: links } = chooser.parse(yaml(`${directory}/config.yml`))
    expect(links[0]?.about).toContain('SECURITY.md')
  })
})

test('dependabot updates each ecosystem weekly, in groups', () => {
  const update = z.object({
    'package-ecosystem': text,
    directory: z.enum(['/', '/site']),
    schedule: z.strictObject({ interval: z.literal('weekly') }),
    groups: z.record(text, z.record(z.enum(['dependency-type', 'patterns']), z.any())),
  })
  const schema = z.strictObject({ version: z.literal(2), updates: z.array(update) })
  const { updates } = schema.parse(yaml('.github/dependabot.yml'))
  const ecosystems = updates.map((each) => `${each['package-ecosystem']} ${each.directory}`)
  expect(ecosystems).toEqual(['npm /', 'npm /site', 'docker /', 'github-actions /'])
})

describe('the workflow', () => {
  const step = z.union([
    z.strictObject({ uses: z.string().regex(/^actions\/[a-z-]+@v\d+$/), with: z.any() }),
    z.strictObject({ name: text.optional(), run: text }),
  ])
  const job = z.object({
    'runs-on': z.literal('ubuntu-24.04'),
    'timeout-minutes': z.int(),
    steps: z.array(step),
  })
  const source = read('.github/workflows/ci.yml')
  const workflow = z
    .object({ on: z.object({}).loose(), permissions: z.any(), jobs: z.record(text, job) })
    .parse(parse(source))

  test('runs .ci/run in each job', () => {
    for (const { steps } of Object.values(workflow.jobs))
      expect(steps.map((each) => ('run' in each ? each.run : ''))).toContain('.ci/run')
    expect(existsSync(join(root, '.ci/run'))).toBe(true)
  })

  test('reads the repository and nothing else, and keeps no secret', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' })
    expect(source).not.toContain('secrets.')
    const checkouts = Object.values(workflow.jobs).flatMap(({ steps }) =>
      steps.filter((each) => 'uses' in each && each.uses.startsWith('actions/checkout@')),
    )
    expect(checkouts.length).toBe(Object.keys(workflow.jobs).length)
    for (const checkout of checkouts)
      expect(checkout).toMatchObject({ with: { 'persist-credentials': false } })
  })
})

describe('the dev container', () => {
  const schema = z.object({
    name: text,
    image: z.string().regex(/^mcr\.microsoft\.com\/devcontainers\/typescript-node:\d+-[a-z]+$/),
    postCreateCommand: text,
  })
  const container = schema.parse(JSON.parse(read('.devcontainer/devcontainer.json')))

  test('has the Node release and the Debian release of the image and of CI', () => {
    const [, tag = ''] = container.image.split(':')
    expect(read('Dockerfile')).toContain(`FROM node:${tag}-slim`)
    expect(read('.github/workflows/ci.yml')).toContain(`image: node:${tag}\n`)
    expect(manifest.engines.node).toBe(`>=${tag.split('-')[0]}`)
  })

  test('installs the packages of the tests, and those of npm', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tts-devcontainer-'))
    try {
      const calls = join(directory, 'calls')
      for (const name of ['sudo', 'npm'])
        writeFileSync(join(directory, name), `#!/bin/sh\necho ${name} "$@" >>${calls}\n`, {
          mode: 0o755,
        })
      const PATH = `${directory}${delimiter}${process.env['PATH'] ?? ''}`
      const { status } = spawnSync('sh', ['-c', container.postCreateCommand], {
        cwd: root,
        env: { ...process.env, PATH },
      })
      expect(status).toBe(0)
      const packages = Object.keys(JSON.parse(read('test/support/debian-packages.json')) as object)
      expect(readFileSync(calls, 'utf8').trim().split('\n')).toEqual([
        'sudo apt-get update -q',
        `sudo apt-get install -y -q --no-install-recommends ${packages.join(' ')}`,
        'npm ci',
      ])
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})

describe('.editorconfig', () => {
  test.for(['src/service/serve.ts', 'docs/operations.md', 'package.json'])(
    'gives %s the form that Prettier gives it',
    async (path) => {
      const merged = await resolveConfig(join(root, path), { editorconfig: true, useCache: false })
      expect(merged).toEqual({ ...manifest.prettier, tabWidth: 2, useTabs: false, endOfLine: 'lf' })
    },
  )
})

test('nothing that programs generate is tracked', () => {
  const { status, stdout } = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' })
  // An archive of the sources is no repository.
  if (status !== 0) return
  expect(stdout.split('\n').filter((path) => /\.(pyc|rej|orig)$/.test(path))).toEqual([])
  const ignored = 'examples/plugins/python/__pycache__/x.pyc'
  expect(execFileSync('git', ['check-ignore', ignored], { cwd: root, encoding: 'utf8' })).toContain(
    ignored,
  )
})
