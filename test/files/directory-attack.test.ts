import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeSubdirectory, openDirectory, withDirectory } from '../../src/files/directory.ts'
import { createPrivateFile, writePrivateFile } from '../../src/files/private-file.ts'
import { writeTrustAnchorDirectory } from '../../src/files/trust-anchor-directory.ts'
import {
  ATTACKER_UID,
  attackScene,
  noAttacker,
  type Scene,
  startAttack,
} from '../support/attacker.ts'

const ROUNDS = 150
const refusedLink = { code: 'configuration', check: 'symbolic_link' }
const owner = { uid: ATTACKER_UID, gid: ATTACKER_UID }

/** The attacker's directory, which is a link to root's every other moment. */
async function swapDirectory({ home, victim }: Scene, name: string): Promise<string> {
  const path = join(home, name)
  await startAttack(
    `my ($p, $v) = @ARGV; symlink $v, $p; unlink $p; mkdir $p; rmdir $p or rename $p, "$p.$n";`,
    [path, victim],
  )
  return path
}

describe.skipIf(noAttacker !== undefined)(
  `another user swaps names (${noAttacker ?? 'as root'})`,
  () => {
    const writers = [
      {
        name: 'writePrivateFile',
        write: (directory: string, n: number) =>
          writePrivateFile(join(directory, `file-${n}`), 'x', { owner, mode: 0o640 }),
      },
      {
        name: 'createPrivateFile',
        write: (directory: string, n: number) =>
          createPrivateFile(join(directory, `new-${n}`), 'x'),
      },
      {
        name: 'writeTrustAnchorDirectory, in it',
        write: (directory: string) =>
          writeTrustAnchorDirectory(directory, [
            { name: 'tts.pem', content: 'x' },
            { name: '0a1b2c3d.0', linkTo: 'tts.pem' },
          ]),
      },
      {
        name: 'writeTrustAnchorDirectory, made below it',
        write: (directory: string, n: number) =>
          writeTrustAnchorDirectory(join(directory, `made-${n}`), [
            { name: 'tts.pem', content: 'x' },
          ]),
      },
    ]
    test.for(writers)(
      '$name: nothing is changed elsewhere',
      { timeout: 60_000 },
      async ({ write }) => {
        const scene = await attackScene()
        const before = await scene.victimState()
        const directory = await swapDirectory(scene, 'out')
        // What root refuses, or does not find at that moment, is not looked at.
        for (let n = 0; n < ROUNDS; n += 1) await write(directory, n).catch(() => undefined)
        expect(await scene.victimState()).toEqual(before)
      },
    )

    test('a temporary file that was exchanged is noticed', { timeout: 60_000 }, async () => {
      const { home } = await attackScene()
      const path = join(home, 'proxy')
      await startAttack(
        `my ($d) = @ARGV; opendir(my $h, $d) or next;
       for (readdir $h) { next unless /^\\.tts-.*\\.tmp$/; unlink "$d/$_"; if (open my $f, '>', "$d/$_") { print $f "of the attacker"; close $f; } }
       closedir $h;`,
        [home],
      )
      const failures: unknown[] = []
      for (let n = 0; n < ROUNDS; n += 1)
        await writePrivateFile(path, 'x', { owner }).catch((error: unknown) => failures.push(error))
      expect(failures).toContainEqual(
        expect.objectContaining({
          code: 'configuration',
          check: 'replaced',
          message: `${path} was replaced by another user while it was written`,
        }),
      )
    })
  },
)

describe.skipIf(noAttacker !== undefined)(
  `paths that root opens (${noAttacker ?? 'as root'})`,
  () => {
    test('a link of another user is refused, wherever it is in the path', async () => {
      const scene = await attackScene()
      const before = await scene.victimState()
      const link = join(scene.home, 'link')
      await symlink(scene.victim, link)
      await lchown(link, ATTACKER_UID, ATTACKER_UID)
      await mkdir(join(scene.victim, 'below'))
      for (const path of [join(link, 'x'), join(link, 'below', 'x')]) {
        const refused = writePrivateFile(path, 'x')
        await expect(refused).rejects.toMatchObject(refusedLink)
        await expect(refused).rejects.toThrow(
          `${dirname(path)}: link is a symbolic link that other users can change; root does not follow it`,
        )
      }
      await rm(join(scene.victim, 'below'), { recursive: true })
      expect(await scene.victimState()).toEqual(before)
    })

    test("root's own link in another user's directory is refused too: they can replace it", async () => {
      const { home, victim } = await attackScene()
      await symlink(victim, join(home, 'link'))
      await expect(writePrivateFile(join(home, 'link', 'x'), 'x')).rejects.toMatchObject(
        refusedLink,
      )
    })

    test.for([
      { name: 'absolute', target: (victim: string) => victim },
      { name: 'relative', target: () => 'victim' },
      { name: 'relative, with ..', target: () => '../victim' },
    ])("root's link in root's directory is followed: $name", async ({ target }) => {
      const { victim } = await attackScene()
      const links = join(dirname(victim), 'links')
      await mkdir(links)
      const at = target(victim).startsWith('..') ? links : dirname(victim)
      await symlink(target(victim), join(at, 'link'))
      await writePrivateFile(join(at, 'link', 'x'), 'x')
      expect(await readFile(join(victim, 'x'), 'utf8')).toBe('x')
    })

    test('a circle of links ends', async () => {
      const { victim } = await attackScene()
      await symlink('b', join(victim, 'a'))
      await symlink('a', join(victim, 'b'))
      await expect(openDirectory(join(victim, 'a'))).rejects.toMatchObject({ code: 'ELOOP' })
    })

    test('directories that are missing are made with the mode that was asked for', async () => {
      const { home, victim } = await attackScene()
      for (const top of [home, victim]) {
        const path = join(top, 'one', 'two')
        await withDirectory(path, async ({ isNew }) => expect(isNew).toBe(true), { make: 0o700 })
        await withDirectory(path, async ({ isNew }) => expect(isNew).toBe(false), { make: 0o755 })
        expect((await stat(path)).mode & 0o7777).toBe(0o700)
        expect((await stat(dirname(path))).uid).toBe(0)
      }
    })

    test.for([
      { name: 'owned by another user', mode: 0o755, uid: ATTACKER_UID, isExposed: true },
      { name: 'that everybody can write', mode: 0o777, uid: 0, isExposed: true },
      { name: 'that is sticky, as /tmp', mode: 0o1777, uid: 0, isExposed: false },
      {
        name: "that is another user's and sticky",
        mode: 0o1777,
        uid: ATTACKER_UID,
        isExposed: true,
      },
      { name: 'that a group can write', mode: 0o770, uid: 0, isExposed: true },
      { name: "root's own", mode: 0o755, uid: 0, isExposed: false },
    ])('a directory $name: exposed $isExposed', async ({ mode, uid, isExposed }) => {
      const { victim } = await attackScene()
      await chmod(victim, mode)
      await chown(victim, uid, uid)
      await withDirectory(victim, async (opened) => expect(opened.isExposed).toBe(isExposed))
    })

    test('work goes on in the directory that was opened, wherever it is moved', async () => {
      const { home, victim } = await attackScene()
      const path = join(home, 'out')
      await mkdir(path)
      await withDirectory(path, async (opened) => {
        await rename(path, join(home, 'moved'))
        await symlink(victim, path)
        await writeFile(opened.entry('file'), 'x')
        const made = await makeSubdirectory(opened, 'made', 0o700)
        await made.close()
      })
      expect((await readdir(join(home, 'moved'))).toSorted()).toEqual(['file', 'made'])
      expect(await readdir(victim)).toEqual(['secret'])
    })

    test(
      "a directory of root's moved in place of a new one is not taken for it",
      { timeout: 60_000 },
      async () => {
        const { home } = await attackScene()
        const precious = join(home, 'precious')
        await mkdir(precious, { mode: 0o700 })
        await writeFile(join(precious, 'secret'), 'of root')
        const attack = await startAttack(
          `my ($d) = @ARGV;
           if (rename "$d/new", "$d/away-$n") { rename "$d/precious", "$d/new"; select(undef, undef, undef, 0.002); rename "$d/new", "$d/precious" }`,
          [home],
        )
        await withDirectory(home, async (opened) => {
          for (let n = 0; n < ROUNDS; n += 1) {
            const made = await makeSubdirectory(opened, 'new', 0o700).catch(() => undefined)
            await made?.file.chown(ATTACKER_UID, ATTACKER_UID)
            await made?.close()
            await rmdir(opened.entry('new')).catch(() => undefined)
          }
        })
        await attack.stop()
        // The attacker may have been stopped while it had the other name.
        const found = await lstat(precious).catch(async () => lstat(join(home, 'new')))
        expect(found.uid).toBe(0)
      },
    )

    test('a mount point and a path through .. are as for everybody', async () => {
      await withDirectory('/proc/../dev', async ({ entry }) => {
        expect(await readFile(entry('null'), 'utf8')).toBe('')
      })
    })
  },
)
