/** Bans on two replicas: refused everywhere, what is out is revoked, delegations end, nobody else is touched. */
import { expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { describeStores } from '../store/support.ts'
import { AUDIENCE, type TestService } from '../support/service.ts'
import { useStoredServices } from '../support/stored-services.ts'
import { delegate, providerSettings, renew } from './delegation-support.ts'
import { askProxy } from './support.ts'

const installation = useStoredServices({ tokens: { includeAuthnInfo: true } })
const { services } = installation
const tts = async (...words: readonly string[]) => installation.tts(words)

async function startReplicas(settings: StoreSettings): Promise<void> {
  const authz = { allow: [{ provider: 'any', claims: { sub: { any: true } } }] }
  await installation.configure(settings, {
    services: { proxy: { authz } },
    providers: { iam: providerSettings(installation.provider) },
  })
  for (let replica = 0; replica < 2; replica += 1) await installation.start()
}

function tokenOf(sub: string, groups: unknown = ['other']): string {
  return installation.provider.mint({ claims: { sub, groups, aud: AUDIENCE } })
}

async function ask(replica: number, token: string): Promise<{ status: number; check: unknown }> {
  const response = await askProxy(serviceOf(replica), '', token)
  const text = await response.text()
  const problem = response.ok ? {} : (JSON.parse(text) as { check?: unknown })
  return { status: response.status, check: problem.check }
}

function serviceOf(replica: number): TestService {
  const service = services[replica]
  if (service === undefined) throw new Error(`replica ${replica} does not run`)
  return service
}

const issued = { status: 200, check: undefined }
const refused = { status: 403, check: 'banned' }

/** Asks on both replicas, one request after the other, until `work` is done. */
async function whileAsking(token: string, work: () => Promise<void>): Promise<number[]> {
  const done = new AbortController()
  const statuses: number[] = []
  const callers = [0, 1].map(async (replica) => {
    while (!done.signal.aborted) statuses.push((await ask(replica, token)).status)
  })
  await work().finally(() => done.abort())
  await Promise.all(callers)
  return statuses
}

async function activeOf(sub: string): Promise<number> {
  const { out } = await tts('credential', 'list', '--json', '--active', '--sub', sub)
  return (JSON.parse(out) as unknown[]).length
}

describeStores('bans', ({ newDatabase }) => {
  test('of an identity: at once, on all replicas, also while it asks', async () => {
    await startReplicas(await newDatabase())
    const [mallory, alice] = [tokenOf('mallory'), tokenOf('alice')]
    expect(await ask(0, alice)).toEqual(issued)
    const statuses = await whileAsking(mallory, async () => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      const words = [
        '--sub',
        'mallory',
        '--issuer',
        installation.provider.issuer,
        '--reason',
        'stolen laptop',
      ]
      const { code, notes } = await tts('ban', 'add', ...words)
      expect({ code, notes }).toEqual({
        code: 0,
        notes: expect.stringMatching(
          /^Banned "mallory" of http:\S+ \(ban [0-9a-f-]{36}\): 1 known user\(s\), \d+ credential\(s\) revoked, 0 delegation\(s\) ended\./,
        ) as string,
      })
    })
    expect(new Set(statuses)).toEqual(new Set([200, 403]))
    // Everything that was handed out, also in the moment of the ban, is revoked.
    expect(await activeOf('mallory')).toBe(0)
    for (const replica of [0, 1]) {
      expect(await ask(replica, mallory)).toEqual(refused)
      expect(await ask(replica, alice)).toEqual(issued)
      const crl = await fetch(`${serviceOf(replica).url}/ca/crl.der`)
      const { revoked } = readCrl(Buffer.from(await crl.arrayBuffer()))
      expect(revoked.size).toBeGreaterThan(0)
    }
    expect(await activeOf('alice')).toBeGreaterThan(0)
    const audit = await tts('audit', '--event', 'ban.added')
    expect(audit.out).toMatch(
      /ban\.added {2}local {2}"mallory" of http:\S+ {2}ban \S+: stolen laptop$/m,
    )
  })

  test('end when they are lifted', async () => {
    await startReplicas(await newDatabase())
    // Before the user was ever seen.
    const words = ['--sub', 'eve', '--issuer', installation.provider.issuer, '--reason', 'mistake']
    const added = await tts('--json', 'ban', 'add', ...words)
    const { id, identities } = JSON.parse(added.out) as { id: string; identities: number }
    expect(identities).toBe(0)
    expect(await ask(0, tokenOf('eve'))).toEqual(refused)
    expect((await tts('ban', 'list')).out).toMatch(
      new RegExp(`^${id} .* in force .*"eve" of .*mistake$`, 'm'),
    )
    expect((await tts('ban', 'lift', id)).notes).toContain('Lifted the ban of "eve"')
    expect((await tts('ban', 'lift', id)).notes).toContain('was lifted before')
    await expect.poll(async () => ask(1, tokenOf('eve')), { timeout: 3000 }).toEqual(issued)
    expect((await tts('ban', 'list')).out).toMatch(/ lifted 20/)
    expect((await tts('ban', 'lift', 'nonsense')).code).toBe(5)
    for (const wrong of [
      ['--group', '', '--reason', 'why'],
      ['--group', 'cms', '--reason', ' '],
    ])
      expect((await tts('ban', 'add', ...wrong)).code).toBe(2)
  })

  test('of a group: its members, known or new, and nobody else', async () => {
    await startReplicas(await newDatabase())
    const inGroup = { alice: ['/cms/pilot', 'cms'], bob: 'atlas cms/pilot', carol: ['cms'] }
    for (const [sub, groups] of Object.entries(inGroup))
      expect(await ask(0, tokenOf(sub, groups))).toEqual(issued)
    const words = ['--group', 'cms/pilot', '--reason', 'leaked pilot key']
    const { notes } = await tts('ban', 'add', ...words)
    expect(notes).toMatch(
      /^Banned the group cms\/pilot of every provider .*: 2 known user\(s\), 2 cred/,
    )
    expect(await activeOf('alice')).toBe(0)
    expect(await activeOf('bob')).toBe(0)
    expect(await activeOf('carol')).toBe(1)
    expect(await ask(1, tokenOf('alice', inGroup.alice))).toEqual(refused)
    expect(await ask(1, tokenOf('new', ['/cms/pilot']))).toEqual(refused)
    expect(await ask(1, tokenOf('carol', inGroup.carol))).toEqual(issued)
    // A token that leaves the group out does not help a known member.
    expect(await ask(1, tokenOf('alice', ['cms']))).toEqual(refused)
  })

  test('of a group hold for a member whose last token left the group out, on whatever replica', async () => {
    await startReplicas(await newDatabase())
    const member = tokenOf('alice', ['cms/pilot'])
    const others = [tokenOf('alice', ['other']), tokenOf('alice', [])]
    for (const [replica, token] of [member, ...others, member, ...others].entries())
      expect(await ask(replica % 2, token)).toEqual(issued)
    const { notes } = await tts('ban', 'add', '--group', 'cms/pilot', '--reason', 'leaked')
    expect(notes).toContain('1 known user(s), 6 credential(s) revoked')
    expect(await ask(1, others[0] ?? '')).toEqual(refused)
  })

  test('end delegations, here and at the provider, and refuse new ones', async () => {
    await startReplicas(await newDatabase())
    const service = serviceOf(0)
    const made = await delegate(service)
    expect((await renew(service, made)).status).toBe(200)
    const { sub } = installation.provider.user('alice')
    const words = ['--sub', sub, '--issuer', installation.provider.issuer, '--reason', 'left']
    expect((await tts('ban', 'add', ...words)).notes).toContain('1 delegation(s) ended')
    const renewed = await renew(service, made)
    expect(renewed.status).not.toBe(200)
    const shown = await tts('--json', 'delegation', 'list')
    expect(JSON.parse(shown.out)).toMatchObject([{ state: 'revoked' }])
  })
})
