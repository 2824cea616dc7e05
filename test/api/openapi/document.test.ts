/** /openapi.json: how it is written, as Spectral judges it, and whether its examples are true. */
import { describe, expect, test } from 'vitest'
import { type RulesetDefinition, Spectral } from '@stoplight/spectral-core'
import { oas } from '@stoplight/spectral-rulesets'
import manifest from '../../../package.json' with { type: 'json' }
import { createOpenApi } from '../../../src/api/openapi/document.ts'
import { useTestService } from '../../support/service.ts'
import { misspeltKeys } from '../../support/spelling.ts'
import { delegating } from '../delegation-support.ts'
import { answerChecker, type OpenApi, readOpenApi } from './support.ts'

const PUBLIC_URL = 'https://tts.example.org'
const full = useTestService(
  delegating({
    more: {
      listen: { port: 0, public_url: `${PUBLIC_URL}/` },
      access_tokens: { enabled: true, audiences: ['https://storage.example.org'], scopes: [] },
    },
  }),
)
const small = useTestService()

/** Every place of the document at which a condition holds. */
function places(value: unknown, holds: (node: Record<string, unknown>) => boolean): number {
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + places(item, holds), 0)
  if (typeof value !== 'object' || value === null) return 0
  const own = holds(value as Record<string, unknown>) ? 1 : 0
  return Object.values(value).reduce((sum: number, item) => sum + places(item, holds), own)
}

/**
 * All rules, also those that are off by default, but two: the servers of tests are on example.com, and the document
 * cannot know the address of whoever operates the service.
 */
const ruleset = {
  extends: [[oas, 'all']],
  rules: { 'oas3-server-not-example.com': 'off', 'contact-properties': 'off' },
} as unknown as RulesetDefinition

async function findings(document: unknown): Promise<readonly string[]> {
  const linter = new Spectral()
  linter.setRuleset(ruleset)
  return (await linter.run(structuredClone(document) as Record<string, unknown>)).map(
    ({ code, path, message }) => `${String(code)} ${path.join('.')}: ${message}`,
  )
}

const versions = manifest.devDependencies

describe(`[Spectral ${versions['@stoplight/spectral-core']}] [spectral-rulesets ${versions['@stoplight/spectral-rulesets']}]`, () => {
  test.for([
    ['everything switched on', full],
    ['the defaults', small],
  ] as const)('no finding: %s', async ([_name, service]) => {
    expect(await findings(await readOpenApi(service().url))).toEqual([])
  })

  test('finds what is missing', async () => {
    const document = structuredClone(await readOpenApi(small().url)) as unknown as {
      paths: Record<string, Record<string, Record<string, unknown>>>
    }
    delete document.paths['/v1/proxies']?.['post']?.['operationId']
    expect(await findings(document)).toEqual([expect.stringMatching(/^operation-operationId /)])
  })
})

describe.for([
  ['everything switched on', full],
  ['the defaults', small],
] as const)('%s', ([_name, service]) => {
  test('operations have ids, tags, summaries, descriptions and problems', async () => {
    const { paths } = await readOpenApi(service().url)
    const operations = Object.values(paths).flatMap((path) => Object.values(path))
    const ids = operations.map(({ operationId }) => operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[a-z]+([A-Z][a-z]*)+$/)
    for (const operation of operations) expect(operation.responses).toHaveProperty('default')
    for (const [path, methods] of Object.entries(paths)) {
      if (!path.startsWith('/v1/')) continue
      for (const { responses } of Object.values(methods))
        for (const status of ['400', '401', '429', '503'])
          expect(responses, path).toHaveProperty(status)
    }
  })

  test('every schema of an answer is a component, and every object is described', async () => {
    const { paths } = await readOpenApi(service().url)
    for (const path of Object.values(paths))
      for (const { operationId, responses } of Object.values(path)) {
        const content = Object.values(responses).flatMap((one) =>
          Object.entries(one.content ?? {}).filter(([type]) => type.endsWith('json')),
        )
        if (operationId === 'getOpenApi') continue
        for (const [, { schema }] of content) expect(Object.keys(schema)).toEqual(['$ref'])
      }
    // `type: object` alone says nothing.
    const { components } = await readOpenApi(service().url)
    const says = ['properties', 'additionalProperties', 'oneOf']
    const empty = places(
      components.schemas,
      (node) => node['type'] === 'object' && !says.some((name) => name in node),
    )
    expect(empty).toBe(0)
  })

  test('numbers of requests are whole, with the bounds that the service has', async () => {
    const { components } = await readOpenApi(service().url)
    const { properties } = components.schemas['ProxyParameters'] as unknown as {
      properties: Readonly<Record<string, object>>
    }
    const whole = { type: 'integer', minimum: 60, maximum: 34_560_000 }
    expect(properties['lifetime_seconds']).toMatchObject(whole)
    expect(properties['lifetime_seconds']).not.toHaveProperty('anyOf')
    expect(properties['path_length']).toMatchObject({ type: 'integer', minimum: 0, maximum: 100 })
  })

  test('examples fit their schemas', async () => {
    const document = await readOpenApi(service().url)
    const { problemsOf } = answerChecker(document)
    const { schemas } = document.components
    const withExamples = Object.entries(schemas).filter(([, schema]) => 'examples' in schema)
    expect(withExamples.length).toBeGreaterThanOrEqual(15)
    for (const [name, schema] of withExamples)
      for (const example of schema['examples'] as unknown[])
        expect(problemsOf({ $ref: `#/components/schemas/${name}` }, example), name).toEqual([])
  })

  test('keys are in snake_case', async () => {
    const { schemas } = (await readOpenApi(service().url)).components
    const keys = Object.fromEntries(
      Object.entries(schemas).flatMap(([name, schema]) =>
        propertiesOf(schema).map((key) => [key, name]),
      ),
    )
    expect(Object.keys(keys).length).toBeGreaterThan(60)
    expect(misspeltKeys(Object.fromEntries(Object.keys(keys).map((key) => [key, 1])))).toEqual([])
  })
})

function propertiesOf(schema: unknown): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const own = (schema as { properties?: object }).properties
  return [...Object.keys(own ?? {}), ...Object.values(schema).flatMap(propertiesOf)]
}

test('the server is the one that clients reach', async () => {
  const serversOf = async (url: string) =>
    ((await readOpenApi(url)) as OpenApi & { servers: { url: string }[] }).servers
  expect(await serversOf(full().url)).toMatchObject([{ url: PUBLIC_URL }])
  expect(await serversOf(small().url)).toMatchObject([{ url: '/' }])
})

test('a service without its usual services still has a document that holds', async () => {
  const document = createOpenApi(new Map(), { publicUrl: undefined, accessTokens: false, voms: [] })
  expect(await findings(document)).toEqual([])
})
