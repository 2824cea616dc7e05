/** Compose, Marathon and TOSCA: their own parsers, and our programs with the settings that they give. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadSettings } from '../../src/certcache/settings/load-settings.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { buildGoPrograms, goModuleVersion } from '../support/go-programs.ts'
import { programPath } from '../support/programs.ts'
import { installPythonPackages, PYTHON } from '../support/python-packages.ts'

const run = promisify(execFile)
const isRequired = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
const TOSCA_PARSER = 'tosca-parser==2.15.0'
const deployed = (path: string): string => programPath(`deploy/${path}`)

const loaderDirectory = join(import.meta.dirname, 'compose')
const composeVersion = goModuleVersion(loaderDirectory, 'github.com/compose-spec/compose-go/v2')
const compose = await buildGoPrograms({
  name: 'compose-loader',
  directory: loaderDirectory,
  packages: ['.'],
  leastGo: [1, 26],
})
const tosca = await installPythonPackages([TOSCA_PARSER])

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-orchestrators-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** The names that DODAS's templates give to the container of the old cache. */
const DODAS_NAMES = [
  'CACHE_MANAGER',
  'IAM_CLIENT_ID',
  'IAM_CLIENT_SECRET',
  'IAM_TOKEN',
  'MARATHON_PASSWD',
  'MARATHON_USER',
  'PROXY_AUDIENCE',
  'PROXY_CACHE_DIR',
  'PROXY_CREDENTIAL_ENDPOINT',
  'PROXY_IAM_ENDPOINT',
  'PROXY_LOCAL_CACHE_EXPIRATION_TIME',
  'PROXY_LOCK_FILE_AGE',
  'PROXY_TTS',
  'ZOOKEEPER_HOST_LIST',
]

interface Application {
  readonly env: Readonly<Record<string, string>>
  readonly args: readonly string[]
  readonly container: { readonly volumes: readonly { readonly containerPath: string }[] }
}

describe('marathon/certcache.json', () => {
  const application = JSON.parse(
    readFileSync(deployed('marathon/certcache.json'), 'utf8'),
  ) as Application

  test('has the names that DODAS sets, and the default of its templates', () => {
    expect(Object.keys(application.env).toSorted()).toEqual(DODAS_NAMES)
    expect(application.env['CACHE_MANAGER']).toBe('ZOOKEEPER')
    expect(application.args).toEqual(['serve'])
  })

  test('certcache starts with them, with the state on the volume', async () => {
    const environment = { HOME: directory, ...application.env }
    const { settings, notes } = await loadSettings(undefined, { environment, uid: 1000 })
    expect(settings.service.url).toBe('https://tts.example.org')
    expect(settings.source).toMatchObject({
      client_id: 'CLIENT_ID',
      issuer: 'https://iam.example.org/',
    })
    expect(settings.state.directory).toBe('/data/certcache')
    expect(application.container.volumes.map((volume) => volume.containerPath)).toContain('/data')
    expect(notes[0]).toMatch(/^PROXY_LOCK_FILE_AGE is ignored/)
    expect(notes[1]).toMatch(
      /^CACHE_MANAGER=ZOOKEEPER is ignored: the state is kept in \/data\/certcache/,
    )
  })
})

interface Service {
  readonly environment?: Readonly<Record<string, string>>
  readonly secrets?: readonly { readonly source: string }[]
  readonly configs?: readonly { readonly source: string; readonly target: string }[]
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly user?: string
}

describe(`compose.yaml [compose-go ${composeVersion}]`, () => {
  const values = {
    TTS_NAME: 'tts.example.org',
    CACHE_NAME: 'cache.example.org',
    IAM_ISSUER: 'https://iam.example.org/',
    IAM_CLIENT_ID: 'tts-delegation',
    TTS_GROUP: 'cms',
  }

  if ('missing' in compose)
    test.skipIf(!isRequired)(`NOT RUN: ${compose.missing}`, () => {
      expect(compose.missing).toBeUndefined()
    })
  else {
    /** Loads a text as Docker Compose does. */
    const load = async (text: string, env: Readonly<Record<string, string>> = values) => {
      const file = join(directory, 'compose.yaml')
      writeFileSync(file, text)
      const program = join(compose.directory, 'composeloader')
      const { stdout } = await run(program, [file], { env })
      return JSON.parse(stdout) as { services: Readonly<Record<string, Service>> }
    }
    const text = readFileSync(deployed('compose.yaml'), 'utf8')

    test('the loader of Docker Compose takes it, and all containers are confined', async () => {
      const { services } = await load(text)
      expect(Object.keys(services).toSorted()).toEqual([
        'certcache',
        'database',
        'service',
        'worker',
      ])
      for (const service of Object.values(services))
        expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], user: '1000:1000' })
    })

    test('it would not take a mistyped key, a missing variable, or an unknown secret', async () => {
      await expect(load(text.replace('read_only:', 'readonly:'))).rejects.toThrow(/readonly/)
      await expect(load(text, { ...values, TTS_NAME: '' })).rejects.toThrow(/TTS_NAME/)
      await expect(
        load(text.replace('[database_password]', '[database_passwort]')),
      ).rejects.toThrow(/database_passwort/)
    })

    test('service and certcache take their settings', async () => {
      const { services } = await load(text)
      const files = join(directory, 'secrets')
      mkdirSync(files, { recursive: true })
      const here = (service: Service | undefined): Record<string, string> => ({
        HOME: directory,
        ...Object.fromEntries(
          Object.entries(service?.environment ?? {}).map(([name, value]) => [
            name,
            value.startsWith('/run/') ? join(files, basename(value)) : value,
          ]),
        ),
      })
      for (const name of [
        'database_url',
        'iam_client_secret',
        'cache_secret',
        'access_token',
        'tls_key',
      ])
        writeFileSync(
          join(files, name),
          'postgres://tts:password-of-24-characters@database/tts\n',
          { mode: 0o600 },
        )
      for (const name of ['tls.pem', 'ca.pem']) writeFileSync(join(files, name), 'PEM')
      const loaded = await loadConfiguration(undefined, here(services['service']))
      expect(loaded.configuration.services['proxy']?.authz.allow).toHaveLength(1)
      expect(loaded.configuration.providers['iam']?.audiences).toEqual(['https://tts.example.org'])
      const environment = here(services['certcache'])
      const { settings } = await loadSettings(undefined, { environment, uid: 1000 })
      expect(settings.service.url).toBe('https://tts.example.org:8443')
      expect(settings.access.mode).toBe('restricted')
    })
  }
})

describe('tosca/proxy-manager.yaml', () => {
  const text = readFileSync(deployed('tosca/proxy-manager.yaml'), 'utf8')

  test('gives certcache the names that DODAS sets, and the default of its templates', () => {
    const type = (parse(text) as { node_types: Record<string, never> }).node_types[
      'tts.nodes.ProxyManager'
    ] as unknown as {
      interfaces: { Standard: { create: { inputs: object } } }
      properties: Record<string, { default?: unknown }>
    }
    expect(Object.keys(type.interfaces.Standard.create.inputs).toSorted()).toEqual(DODAS_NAMES)
    expect(type.properties['cms_proxycache_token_manager']?.default).toBe('ZOOKEEPER')
  })

  if ('missing' in tosca)
    test.skipIf(!isRequired)(`NOT RUN: ${tosca.missing}`, () => {
      expect(tosca.missing).toBeUndefined()
    })
  else
    test(`[${TOSCA_PARSER.replace('==', ' ')}] finds it valid, and would say if not`, async () => {
      const validate = async (template: string): Promise<string> => {
        const file = join(directory, 'template.yaml')
        writeFileSync(file, template)
        const script = `
import sys
from toscaparser.tosca_template import ToscaTemplate
inputs = {'iam_token': 't', 'iam_client_id': 'c', 'iam_client_secret': 's'}
print(*[node.name for node in ToscaTemplate(sys.argv[1], inputs).nodetemplates])`
        const env = { PYTHONPATH: tosca.directory, HOME: directory, PATH: '/usr/bin:/bin' }
        return (await run(PYTHON, ['-c', script, file], { env })).stdout
      }
      expect(await validate(text)).toBe('proxy_manager docker machine\n')
      const mistyped = text.replace('get_input: audience', 'get_input: audiences')
      await expect(validate(mistyped)).rejects.toThrow(/audiences/)
    })
})
