import { execFile } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, symlink } from 'node:fs/promises'
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
