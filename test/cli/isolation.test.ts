/** What the command line says of programs that are not kept apart from the service. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { serve } from '../../src/service/serve.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { executable, misbehaving, wattsService } from '../api/watts/support.ts'
import { fixture } from '../plugins/support.ts'
import { useTestService } from '../support/service.ts'
import { runTts } from '../support/terminal.ts'

const isRoot = process.getuid?.() === 0
const service = useTestService(wattsService({ guest: executable(misbehaving('argument-only.sh')) }))

describe('tts check', () => {
  test('warns of a program that can read the CA key, and names the settings', async () => {
    const { out } = await runTts(['check', '--config', join(service().directory, 'tts.yaml')])
    expect(out).toMatch(/^warning {2}program of guest: the program runs as .*the CA key/m)
    expect(out).toContain(
      '-> Set services.guest.executable.sandbox to bubblewrap. If the service runs as root, also set executable.user.\n',
    )
  })
})

describe(`tts serve${isRoot ? ' as root' : ' as a user'}`, () => {
  test('does not start with a program of a user that does not fit, naming the key', async () => {
    const path = join(service().directory, 'unfit.yaml')
    // As root nobody is named, else somebody is.
    const given = isRoot ? {} : { user: 'nobody' }
    const unfit = { plugin: 'executable', executable: { command: ['/bin/true'], ...given } }
    const data = join(service().directory, 'unfit-data')
    writeFileSync(path, stringify({ data_dir: data, services: { guest: unfit } }))
    const log = createLog({ level: 'silent', name: 'tts' })
    await expect(serve(await loadConfiguration(path, {}), log)).rejects.toMatchObject({
      code: 'configuration',
      check: 'plugin_user',
      message: expect.stringMatching(
        isRoot
          ? /^services\.guest\.executable\.user: must be set, because the service runs as root/
          : /^services\.guest\.executable\.user: needs a service that runs as root/,
      ),
      remedy: expect.stringMatching(isRoot ? /allow_root: true/ : /sandbox: bubblewrap/),
    })
  })
})

describe.skipIf(!isRoot)(`tts plugin test${isRoot ? '' : ' (as root only)'}`, () => {
  test('as root it warns; with --user it runs as that user', async () => {
    const asRoot = await runTts(['plugin', 'test', fixture('argument-only.sh')])
    expect(asRoot.out).toMatch(/^warning {2}user: the program ran as root\n {9}-> Use --user/)
    const asUser = await runTts(['plugin', 'test', '/bin/true', '--user', 'no-such-user-here'])
    expect(asUser.out).not.toContain('warning  user')
    expect(asUser.out).toContain('there is no user no-such-user-here on this machine')
    expect(asUser.code).toBe(1)
  })
})
