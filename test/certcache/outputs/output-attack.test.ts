import { chown, lchown, lstat, mkdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import { inspectOutput, writeOutput } from '../../../src/certcache/outputs/proxy-output.ts'
import type { OutputSettings } from '../../../src/certcache/settings/proxy-settings.ts'
import { ATTACKER_UID, attackScene, noAttacker, startAttack } from '../../support/attacker.ts'
import { makeHeldProxy } from '../server-support.ts'

const ROUNDS = 60
let proxies: readonly HeldProxy[] = []
beforeAll(async () => {
  proxies = await Promise.all(
    [0, 1000].map((ms) => makeHeldProxy({ now: new Date(Date.now() + ms) })),
  )
})

const to = (path: string, more: Partial<OutputSettings> = {}): OutputSettings => ({
  path,
  mode: '0600',
  format: 'pem',
  follow_symlink: false,
  owner: ATTACKER_UID,
  group: ATTACKER_UID,
  ...more,
})

/** Writes one proxy after the other; what cannot be written at that moment is left. */
async function writeMany(output: OutputSettings): Promise<void> {
  for (let n = 0; n < ROUNDS; n += 1) {
    const proxy = proxies[n % 2]
    if (proxy) await writeOutput(output, proxy).catch(() => undefined)
  }
}

describe.skipIf(noAttacker !== undefined)(
  `root writes for a user who swaps names (${noAttacker ?? 'as root'})`,
  { timeout: 60_000 },
  () => {
    const attacks = [
      {
        name: 'the directory of a pair, for a link',
        perl: `opendir(my $h, $d) or next; for (readdir $h) { next unless /^\\.\\.v-/; if (rename "$d/$_", "$d/gone-$n") { symlink $v, "$d/$_" } } closedir $h;`,
      },
      {
        name: 'temporary files, for links',
        perl: `opendir(my $h, $d) or next; for (readdir $h) { next unless /^\\.tts-/; unlink "$d/$_"; symlink "$v/secret", "$d/$_" } closedir $h;`,
      },
      {
        name: 'the output directory, for a link',
        perl: `rename $d, "$d.away"; symlink $v, $d; unlink $d; rename "$d.away", $d;`,
      },
      {
        name: 'the finished names, for links',
        perl: `for ("gwms_proxy", "..data", "usercert.pem", "userkey.pem") { unlink "$d/$_"; symlink "$v/secret", "$d/$_"; unlink "$d/$_"; symlink $v, "$d/$_"; unlink "$d/$_" }`,
      },
    ]
    for (const format of ['pem', 'split'] as const)
      test.for(attacks)(`${format}: $name`, async ({ perl }) => {
        const scene = await attackScene()
        const before = await scene.victimState()
        const directory = join(scene.home, '.globus')
        await mkdir(directory)
        await chown(directory, ATTACKER_UID, ATTACKER_UID)
        await startAttack(`my ($d, $v) = @ARGV; ${perl}`, [directory, scene.victim])
        await writeMany(
          to(format === 'split' ? directory : join(directory, 'gwms_proxy'), { format }),
        )
        expect(await scene.victimState()).toEqual(before)
      })
  },
)

describe.skipIf(noAttacker !== undefined)(`links of a user (${noAttacker ?? 'as root'})`, () => {
  test('follow_symlink follows none that the user made, also to a PEM file', async () => {
    const { home, victim } = await attackScene()
    const key = join(victim, 'tls-key.pem')
    const text = '-----BEGIN PRIVATE KEY-----\n'
    await writeFile(key, text, { mode: 0o600 })
    const path = join(home, 'proxy')
    await symlink(key, path)
    await lchown(path, ATTACKER_UID, ATTACKER_UID)
    const [proxy] = proxies
    const refused = { code: 'configuration', check: 'symbolic_link' }
    const output = to(path, { follow_symlink: true })
    await expect(writeOutput(output, proxy as HeldProxy)).rejects.toMatchObject(refused)
    expect(await inspectOutput(output, proxy as HeldProxy)).toMatchObject(refused)
    expect(await readFile(key, 'utf8')).toBe(text)
    expect((await lstat(key)).uid).toBe(0)
  })

  test("follow_symlink follows root's own, one after the other", async () => {
    const { home, victim } = await attackScene()
    await symlink('second', join(victim, 'first'))
    await symlink(join('..', 'home', 'proxy'), join(victim, 'second'))
    const [proxy] = proxies as [HeldProxy]
    await writeFile(join(home, 'proxy'), '')
    const output = to(join(victim, 'first'), { follow_symlink: true })
    expect(await writeOutput(output, proxy)).toBe(true)
    expect(await readFile(join(home, 'proxy'))).toEqual(proxy.pem)
    expect((await lstat(join(home, 'proxy'))).uid).toBe(ATTACKER_UID)
    expect(await writeOutput(output, proxy)).toBe(false)
  })

  test('a home directory that is a link of the user is refused, with what to do', async () => {
    const { home, victim } = await attackScene()
    await symlink(victim, join(home, '.globus'))
    const [proxy] = proxies as [HeldProxy]
    for (const output of [
      to(join(home, '.globus'), { format: 'split' }),
      to(join(home, '.globus', 'proxy')),
    ])
      await expect(writeOutput(output, proxy)).rejects.toMatchObject({
        check: 'symbolic_link',
        remedy: 'Name the target of the link, or run this as the user who owns the link.',
      })
  })

  test("a directory of the user's with other things under a version's name stays", async () => {
    const { home } = await attackScene()
    const [proxy, other] = proxies as [HeldProxy, HeldProxy]
    const directory = join(home, '.globus')
    const precious = join(directory, '..v-AAAAAA')
    await writeOutput(to(directory, { format: 'split' }), proxy)
    await mkdir(precious)
    await writeFile(join(precious, 'thesis.txt'), 'years of work')
    const old = new Date(Date.now() - 2 * 3_600_000)
    await utimes(precious, old, old)
    await writeOutput(to(directory, { format: 'split' }), other)
    expect(await readFile(join(precious, 'thesis.txt'), 'utf8')).toBe('years of work')
  })
})
