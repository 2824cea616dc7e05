import { lstat, mkdir, readdir, rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startListening } from '../../../src/certcache/server/listening.ts'
import { listenSettings } from '../../../src/certcache/settings/listen-settings.ts'
import { createLog } from '../../../src/base/log.ts'
import { attackScene, noAttacker, startAttack } from '../../support/attacker.ts'

const log = createLog({ level: 'silent', name: 'certcache' })
const listening = async (socket: string, mode = '0660') =>
  startListening((_request, response) => void response.end('hello'), {
    listen: listenSettings.parse({ socket, socket_mode: mode }),
    clientCaFile: undefined,
    log,
  })

describe.skipIf(noAttacker !== undefined)(
  `root's socket in a directory of another user (${noAttacker ?? 'as root'})`,
  { timeout: 60_000 },
  () => {
    test('its mode is given to nothing else that takes its name', async () => {
      const scene = await attackScene()
      const before = await scene.victimState()
      const socket = join(scene.home, 'socket')
      await startAttack(
        `my ($s, $v) = @ARGV; if (rename $s, "$s.away") { symlink $v, $s; select(undef, undef, undef, 0.003); unlink $s; }`,
        [socket, scene.victim],
      )
      let count = 0
      for (let n = 0; n < 200; n += 1)
        await listening(socket).then(
          async (started) => {
            count += 1
            await started.close(1000)
          },
          (error: unknown) => expect(error).toMatchObject({ code: 'configuration' }),
        )
      expect(count).toBeGreaterThan(0)
      expect(await scene.victimState()).toEqual(before)
    })

    test('at its end it is removed where it was made, not where a link leads', async () => {
      const { home, victim } = await attackScene()
      const directory = join(home, 'run')
      await mkdir(directory)
      const started = await listening(join(directory, 'secret'))
      expect((await lstat(join(directory, 'secret'))).mode & 0o777).toBe(0o660)
      await rename(directory, `${directory}.away`)
      await symlink(victim, directory)
      await started.close(1000)
      expect(await readdir(victim)).toEqual(['secret'])
      expect(await readdir(`${directory}.away`)).toEqual([])
    })

    test('a link to a directory is refused', async () => {
      const { home, victim } = await attackScene()
      await symlink(victim, join(home, 'run'))
      await expect(listening(join(home, 'run', 'socket'))).rejects.toMatchObject({
        code: 'configuration',
        check: 'symbolic_link',
      })
      expect(await readdir(victim)).toEqual(['secret'])
    })
  },
)

test('the umask is as it was, also when there is nowhere to listen', async () => {
  const before = process.umask()
  await expect(listening('/nonexistent/socket')).rejects.toMatchObject({
    code: 'configuration',
    message: 'cannot listen on /nonexistent/socket: the file or its directory does not exist',
  })
  expect(process.umask()).toBe(before)
})
