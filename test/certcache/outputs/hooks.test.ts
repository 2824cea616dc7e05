import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { runHook } from '../../../src/certcache/outputs/hooks.ts'
import { createLog } from '../../../src/base/log.ts'
import { sleepers } from '../../support/sleepers.ts'
import { temporaryDirectory } from '../engine-support.ts'

const about = {
  proxyName: 'gwms_proxy',
  file: '/run/gwms_proxy',
  notAfter: new Date('2026-11-24T00:00:00Z'),
}

async function hook(
  command: readonly string[],
  options: { deadlineMs?: number; environment?: Record<string, string> } = {},
) {
  const logged: string[] = []
  const log = createLog({
    level: 'info',
    name: 'certcache',
    destination: { write: (line) => void logged.push(line) },
  })
  const environment = { PATH: '/usr/bin:/bin', ...options.environment }
  const { deadlineMs } = options
  await runHook(
    { ...about, command },
    { log, environment, ...(deadlineMs === undefined ? {} : { deadlineMs }) },
  )
  return logged.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('finds what it needs in its environment, and nothing else of ours', async () => {
  const out = join(await temporaryDirectory(), 'out')
  const logged = await hook(['sh', '-c', `env > "${out}"; pwd >> "${out}"`], {
    environment: { IAM_CLIENT_SECRET: 'hush', HOME: '/home/alice' },
  })
  const lines = (await readFile(out, 'utf8')).split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      'CERTCACHE_PROXY_NAME=gwms_proxy',
      'CERTCACHE_PROXY_FILE=/run/gwms_proxy',
      'CERTCACHE_NOT_AFTER=2026-11-24T00:00:00.000Z',
      'HOME=/home/alice',
      '/',
    ]),
  )
  expect(lines.join()).not.toContain('hush')
  expect(logged).toMatchObject([{ event: 'hook', level: 'info' }])
})

test('no shell reads its words', async () => {
  const out = join(await temporaryDirectory(), 'out')
  await hook(['sh', '-c', 'printf %s "$1" > "$2"', 'sh', '$(touch /tmp/x); `id`', out])
  expect(await readFile(out, 'utf8')).toBe('$(touch /tmp/x); `id`')
})

describe('what goes wrong is logged and stops nothing', () => {
  test.for([
    [['/no/such/program'], /cannot be started: the file or its directory does not exist/],
    [['/etc'], /cannot be started: permission denied/],
    [['sh', '-c', 'echo oops >&2; exit 3'], /exited with code 3/],
    [['sh', '-c', 'kill -9 $$'], /killed by SIGKILL/],
  ] as const)('%o', async ([command, wanted]) => {
    const [line] = await hook(command)
    expect(line).toMatchObject({
      level: 'error',
      event: 'hook.failed',
      msg: expect.stringMatching(wanted),
    })
    if (command.at(-1)?.includes('oops') === true) expect(line?.['output']).toBe('oops')
  })

  test('a secret in its output is not', async () => {
    const [line] = await hook(['sh', '-c', 'echo access_token=abcdef; exit 1'])
    expect(line?.['output']).toBe('access_token=[secret]')
  })

  test('one that hangs is ended, with what it started', async () => {
    const out = join(await temporaryDirectory(), 'out')
    await writeFile(out, '')
    const script = `trap '' TERM; (while :; do echo x >> "${out}"; sleep 0.02; done) & while :; do sleep 0.05; done`
    const [line] = await hook(['sh', '-c', script], { deadlineMs: 150 })
    expect(line).toMatchObject({ msg: expect.stringMatching(/took longer than 0.15 seconds/) })
    await delay(100)
    const length = (await readFile(out)).length
    expect(length).toBeGreaterThan(0)
    await delay(200)
    expect((await readFile(out)).length).toBe(length)
  })

  test.for([
    { name: 'in the background', start: 'sleep "$0" &' },
    { name: 'in a session of its own', start: 'setsid sleep "$0" > /dev/null 2>&1 &' },
  ])('what it starts $name is ended with it', async ({ start }) => {
    const nap = `${6_000_000 + process.pid}.${start.length}`
    onTestFinished(async () => {
      for (const pid of await sleepers(nap)) process.kill(pid, 'SIGKILL')
    })
    const [line] = await hook(['sh', '-c', `${start} echo "said before"; exit 3`, nap])
    expect(line).toMatchObject({ event: 'hook.failed', output: 'said before' })
    expect(await sleepers(nap)).toEqual([])
  })
})
