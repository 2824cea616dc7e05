import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ATTACKER_UID, attackScene, noAttacker } from '../support/attacker.ts'
import { programPath } from '../support/programs.ts'

const run = promisify(execFile)
/** A program that writes `x` to a path and prints the code and check of what goes wrong. */
const script = (path: string): string =>
  `import(${JSON.stringify(programPath('src/files/private-file.ts'))})
   .then(({ writePrivateFile }) => writePrivateFile(${JSON.stringify(path)}, 'x'))
   .then(() => console.log('written'), (error) => console.log(error.code, error.check))`

describe.skipIf(noAttacker !== undefined)(`as another process (${noAttacker ?? 'as root'})`, () => {
  test('without /proc root writes only where nobody else can change the way', async ({ skip }) => {
    const { home, victim } = await attackScene()
    const withoutProc = async (path: string): Promise<string> => {
      const words = ['-m', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$0" -e "$1"']
      const told = await run('unshare', [...words, process.execPath, script(path)]).catch(() =>
        skip('this container may not mount'),
      )
      return told.stdout.trim()
    }
    expect(await withoutProc(join(victim, 'x'))).toBe('written')
    expect(await readFile(join(victim, 'x'), 'utf8')).toBe('x')
    expect((await lstat(join(victim, 'x'))).mode & 0o7777).toBe(0o600)
    expect(await withoutProc(join(home, 'x'))).toBe('configuration directory')
    await symlink(victim, join(dirname(victim), 'link'))
    expect(await withoutProc(join(dirname(victim), 'link', 'y'))).toBe('configuration directory')
    expect(await readdir(home)).toEqual([])
  })

  test('a file of another user in a sticky directory is refused before anything is issued', async ({
    skip,
  }) => {
    const asUser = { uid: ATTACKER_UID, gid: ATTACKER_UID, cwd: '/' }
    const check = (path: string): Promise<string> =>
      run(
        process.execPath,
        [
          '-e',
          `import(${JSON.stringify(programPath('src/files/output-file.ts'))})
           .then(({ checkOutputFile }) => checkOutputFile(${JSON.stringify(path)}))
           .then(() => console.log('accepted'), (error) => console.log(error.message))`,
        ],
        asUser,
      ).then(({ stdout }) => stdout.trim())
    const { home } = await attackScene()
    const answer = await check(join(home, 'proxy')).catch(() => undefined)
    skip(answer === undefined, 'other users cannot run this Node')
    expect(answer).toBe('accepted')
    const sticky = join(dirname(home), 'sticky')
    await mkdir(sticky)
    await chmod(sticky, 0o1777)
    await writeFile(join(sticky, 'proxy'), 'of root')
    expect(await check(join(sticky, 'proxy'))).toBe(
      `${join(sticky, 'proxy')} belongs to another user (uid 0); it cannot be replaced`,
    )
    expect(await check(join(sticky, 'new'))).toBe('accepted')
    await mkdir(join(home, 'closed'), { mode: 0o755 })
    expect(await check(join(home, 'closed', 'proxy'))).toBe(
      `${join(home, 'closed', 'proxy')} cannot be written: permission denied`,
    )
  })

  test('another user follows their links as ever', async ({ skip }) => {
    const asUser = { uid: ATTACKER_UID, gid: ATTACKER_UID, cwd: '/' }
    const load = `import(${JSON.stringify(programPath('src/files/private-file.ts'))})`
    const canRun = await run(process.execPath, ['-e', load], asUser).then(
      () => true,
      () => false,
    )
    skip(!canRun, 'other users cannot run this Node')
    const { home } = await attackScene()
    await run('mkdir', [join(home, 'real')], asUser)
    await run('ln', ['-s', 'real', join(home, 'link')], asUser)
    const told = await run(process.execPath, ['-e', script(join(home, 'link', 'x'))], asUser)
    expect(told.stdout.trim()).toBe('written')
    const { uid, mode } = await lstat(join(home, 'real', 'x'))
    expect({ uid, mode: mode & 0o7777 }).toEqual({ uid: ATTACKER_UID, mode: 0o600 })
    await mkdir(join(home, 'of-root'), { mode: 0o700 })
    const refused = await run(process.execPath, ['-e', script(join(home, 'of-root', 'x'))], asUser)
    expect(refused.stdout.trim()).toBe('configuration undefined')
  })
})
