/** docs/providers/keycloak.md: its commands run in order, its names and messages are the real ones. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { explanations } from '../../../src/grants/refusal-words.ts'
import { approveDevice, approveLogin } from '../../support/keycloak-pages.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import { readDocument, useWorld } from '../document.ts'
import { tokenRows } from './token-cases.ts'

const { text, blocksUnder } = readDocument('keycloak.md')

export function documentCases(keycloak: () => Keycloak): void {
  describe('docs/providers/keycloak.md', () => {
    const world = useWorld(() => ({
      addresses: { 'https://keycloak.example.org': keycloak().url },
      commands: keycloak().commands,
      env: {
        KC_CLI_PASSWORD: keycloak().administrator.password,
        KC_OPTS: '-XX:TieredStopAtLevel=1',
      },
    }))

    test('at Keycloak: every command works', async () => {
      for (const heading of [
        'At Keycloak',
        'The client scope',
        'The client of the service',
        'The client of the users',
        'A group, and a user to try it',
      ])
        for (const { code } of blocksUnder(heading)) await world().run(code)
      // Only for speed; five seconds otherwise.
      await keycloak().admin('PUT', '/grid', { oauth2DevicePollingInterval: 1 })
    })

    test('at the service: the configuration is in order', async () => {
      const [configuration, check] = blocksUnder('At the service')
      world().write('tts.yaml', configuration)
      const out = await world().run(check?.code)
      expect(out).toMatch(/^ok {7}provider keycloak:/m)
      await world().serve()
    })

    test('tts check finds a wrong client secret', async () => {
      const out = await world().run(`umask 077
        echo wrong > wrong
        ! TTS_PROVIDERS__KEYCLOAK__CLIENT_SECRET_FILE=wrong tts check`)
      expect(out).toMatch(/^FAILED {3}provider keycloak delegation: .* refuses our client/m)
    })

    test('the first proxy', async () => {
      const [start, get] = blocksUnder('The first proxy')
      const verification = (await world().run(start?.code)).trim()
      const { words } = await approveLogin(verification, 'alice')
      expect(words).toContain('Device Login Successful')
      const out = await world().run(get?.code)
      expect(out).toContain('@keycloak/CN=')
    })

    test('certcache', async () => {
      const [settings, login, refresh] = blocksUnder('For days: certcache')
      world().write('certcache.yaml', settings)
      const running = world().start(login?.code)
      await expect.poll(running.out).toMatch(/^and enter/m)
      const [, verificationUri = ''] = /^Open {3}(\S+)$/m.exec(running.out()) ?? []
      const [, userCode = ''] = /^and enter {3}(\S+)$/m.exec(running.out()) ?? []
      await approveDevice({ verificationUri, userCode, username: 'alice' })
      expect((await running.ended).code).toBe(0)
      expect(await world().run(refresh?.code)).toContain('renewed')
    })

    test('a delegation', async () => {
      const [create] = blocksUnder('For hours: delegations')
      const until = Date.parse((await world().run(create?.code)).trim())
      expect(until).toBeGreaterThan(Date.now())
    })

    test('bold words are names in the admin console', async () => {
      const { messages, mappers } = await consoleWords(keycloak())
      const bold = [...text.matchAll(/\*\*([^*]+)\*\*/g)]
        .map(([, words = '']) => words.replaceAll(/\s+/g, ' '))
        .filter((words) => !words.endsWith('.') && words !== 'bold')
      expect(bold.length).toBeGreaterThan(30)
      const known = new Set([...messages, ...mappers].map((words) => words.toLowerCase()))
      expect(bold.filter((words) => !known.has(words.toLowerCase()))).toEqual([])
    })

    test('the messages of refused tokens are those that the service sends', () => {
      const messages = tokenRows
        .map(({ answer }) => answer['detail'])
        .filter((detail) => typeof detail === 'string')
        // No program of a user has one.
        .filter((detail) => !detail.includes('logout token'))
      expect(messages.length).toBeGreaterThan(6)
      expect(messages.filter((message) => !text.includes(message))).toEqual([])
    })

    test('the checks of refused delegations are ours', () => {
      const rows = [...text.matchAll(/^\| `([a-z_]+)` +\|/gm)].map(([, check = '']) => check)
      expect(rows.length).toBeGreaterThan(8)
      expect(rows.filter((check) => !Object.hasOwn(explanations, check))).toEqual([])
    })
  })
}

/** Labels of the admin console, and the names of mappers and of their settings, which come from the server. */
async function consoleWords(keycloak: Keycloak) {
  const library = join(keycloak.commands, '../lib/lib/main')
  const jar = readdirSync(library).find((name) =>
    name.startsWith('org.keycloak.keycloak-admin-ui-'),
  )
  const entry = 'theme/keycloak.v2/admin/messages/messages_en.properties'
  const properties = execFileSync('unzip', ['-p', join(library, jar ?? ''), entry], {
    encoding: 'utf8',
    maxBuffer: 4 * 1024 * 1024,
  })
  const messages = [...properties.matchAll(/^[\w.]+=(.*)$/gm)].map(([, label = '']) => label.trim())
  const { protocolMapperTypes } = (await keycloak.admin('GET', '/../serverinfo')) as {
    readonly protocolMapperTypes: Readonly<
      Record<
        string,
        readonly { readonly name: string; readonly properties: readonly { label: string }[] }[]
      >
    >
  }
  const mappers = (protocolMapperTypes['openid-connect'] ?? []).flatMap(({ name, properties }) => [
    name,
    ...properties.map(({ label }) => label),
  ])
  return { messages, mappers }
}
