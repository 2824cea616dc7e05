/** docs/providers/other.md: its commands run in order, its configurations and messages are the real ones. */
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configurationSchema } from '../../../src/config/schema.ts'
import { browser } from '../../support/device-person.ts'
import type { Hydra } from '../../support/hydra.ts'
import { AUDIENCE } from '../../support/service.ts'
import { readDocument, useWorld, type WorldOptions } from '../document.ts'
import { refusalRows } from './grant-cases.ts'
import { introspect, logIn } from './support.ts'
import { tokenRows } from './token-cases.ts'

const { text, blocksUnder } = readDocument('other.md')

const placesAt = ({ issuer, adminUrl }: Hydra): WorldOptions => ({
  addresses: {
    'https://hydra.example.org': issuer,
    'https://idp.example.org': issuer,
    'http://127.0.0.1:4445': adminUrl,
  },
  // Stands for oidc-agent.
  scripts: { 'oidc-token': 'cat token' },
})

export function documentCases(hydra: () => Hydra): void {
  describe('docs/providers/other.md', () => {
    const world = useWorld(() => placesAt(hydra()))

    test('at Hydra: the client and the consent', async () => {
      const [client, consent] = blocksUnder('At Hydra')
      await world().run(client?.code)
      const { session, ...grants } = JSON.parse(consent?.code ?? '') as {
        readonly session: { readonly access_token: object }
      }
      expect(session.access_token).toEqual(hydra().app.claims)
      hydra().app.consent = { grant_access_token_audience: [] }
      try {
        const { access_token } = await logIn(hydra())
        expect(await introspect(hydra(), access_token)).toMatchObject({ aud: [] })
        hydra().app.consent = grants
        expect(await introspect(hydra(), (await logIn(hydra())).access_token)).toMatchObject({
          aud: [AUDIENCE],
        })
      } finally {
        hydra().app.consent = {}
      }
    })

    test('at the service: the configuration is in order', async () => {
      const [configuration, check] = blocksUnder('At the service')
      world().write('tts.yaml', configuration)
      expect(await world().run(check?.code)).toContain(
        'provider hydra introspection: the provider accepts our client',
      )
      await world().serve()
    })

    test('the first proxy', async () => {
      const [settings, login, refresh] = blocksUnder('The first proxy')
      world().write('certcache.yaml', settings)
      const running = world().start(login?.code)
      const pattern = /^Open in a browser on this machine {3}(\S+)$/m
      await expect.poll(running.out).toMatch(pattern)
      await browser()(pattern.exec(running.out())?.[1] ?? '')
      expect((await running.ended).code).toBe(0)
      expect(await world().run(refresh?.code)).toContain('renewed')
    })

    test.for(['At the service', 'Dex', 'Providers without introspection'])(
      '%s: the configuration has no faults',
      (heading) => {
        const [block] = blocksUnder(heading)
        expect(block?.language).toBe('yaml')
        expect(configurationSchema.safeParse(parse(block?.code ?? '')).error).toBeUndefined()
      },
    )

    test('the messages of refused tokens are those that the service sends', () => {
      const messages = tokenRows
        .map(({ answer }) => answer['detail'])
        .filter((detail) => typeof detail === 'string')
      expect(messages.length).toBeGreaterThan(6)
      expect(messages.filter((message) => !text.includes(message))).toEqual([])
    })

    test('the words of refused grants are those of Hydra', () => {
      const missing = refusalRows.filter(
        ({ check, description }) =>
          !text.split('\n').some((line) => {
            const [, first = '', second = ''] = line.split('|')
            const words = second.trim().replaceAll('`', '')
            const isEqual = description === '' || (words !== '' && description.startsWith(words))
            return first.trim() === `\`${check}\`` && isEqual
          }),
      )
      expect(missing.map(({ name }) => name)).toEqual([])
    })
  })

  describe('docs/providers/other.md, any provider', () => {
    const world = useWorld(() => placesAt(hydra()))

    test('the settings that tts provider probe prints lead to a proxy', async () => {
      const [look, examine, check, get] = blocksUnder('Any provider')
      const { access_token: code } = await logIn(hydra(), 'jwt')
      world().write('token', { language: 'text', code })
      expect(await world().run(look?.code)).toMatch(/^looks like +: hydra$/m)
      const out = await world().run(examine?.code)
      const printed = out.slice(out.indexOf('providers:'), out.indexOf('\nTo do:'))
      world().write('tts.yaml', { language: 'yaml', code: printed })
      expect(await world().run(check?.code)).toContain('allow rule 0 allows the user')
      await world().serve()
      expect(await world().run(get?.code)).toContain('@hydra/CN=')
    })
  })
}
