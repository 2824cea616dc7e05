import { createServer, type Server } from 'node:http'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  type Notifier,
  lookAfterDelegations,
  type NoticeFacts,
} from '../../../src/domain/delegations/watch.ts'
import { commandNotifier } from '../../../src/notices/command-notice.ts'
import { webhookNotifier } from '../../../src/notices/webhook-notice.ts'
import { delegate, delegating, eventsOf, show } from '../../api/delegation-support.ts'
import { type TestService, useTestService } from '../../support/service.ts'
import { sleepers } from '../../support/sleepers.ts'

const DAY_MS = 86_400_000
const directory = mkdtempSync(join(tmpdir(), 'tts-notice-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const facts: NoticeFacts = {
  event: 'delegation.ending',
  id: 'id-1',
  label: 'a "label" with $(words) and `ticks`',
  issuer: 'https://iam.example.org',
  sub: 'alice',
  subject: '/CN=alice',
  created_at: '2026-11-23T12:00:00.000Z',
  last_used_at: null,
  renews_until: '2026-12-23T12:00:00.000Z',
  days_left: 4.9,
  advice: 'Do something.',
}

describe('a look at delegations', () => {
  const service = useTestService(delegating({ delegations: { maximum_per_identity: 50 } }))
  const look = (atDay: number, notifier: Notifier | undefined, of: TestService = service()) => {
    const { delegations } = of.running.service
    const at = new Date(Date.now() + atDay * DAY_MS)
    return lookAfterDelegations({ ...delegations, now: () => at, notifier, noticeDays: 5 })
  }

  test('tells once, in time, of each end; a failure is told again later', async () => {
    const made = await delegate(service(), { label: 'told' })
    const told: NoticeFacts[] = []
    const notifier: Notifier = async (notice) => void told.push(notice)
    await look(24.9, notifier)
    expect(told).toEqual([])
    await look(25.1, () => Promise.reject(new Error('no connection')))
    expect(service().logged.join('')).toContain('delegation.notice-failed')
    await look(25.1, notifier)
    expect(told, 'claimed by the attempt that failed').toEqual([])
    await look(25.2, notifier)
    expect(told).toEqual([
      expect.objectContaining({
        event: 'delegation.ending',
        id: made.id,
        label: 'told',
        sub: '9e499e0e-ce25-485b-9353-d19726fd287a',
        subject: made.identity,
        renews_until: made.renews_until,
        days_left: 4.7,
        last_used_at: null,
        advice: expect.stringContaining('make a new delegation'),
      }),
    ])
    await look(26, notifier)
    await look(29.9, notifier)
    expect(told).toHaveLength(1)
    expect(await eventsOf(service(), made)).toEqual(['notice', 'made'])
  })

  test('of many that look at once one tells', async () => {
    await delegate(service())
    let told = 0
    const notifier: Notifier = async () => void (told += 1)
    await Promise.all(Array.from({ length: 6 }, () => look(26, notifier)))
    expect(told).toBe(1)
  })

  test('what is long past its end, or too old, is ended', async () => {
    const unused = await delegate(service())
    await look(59, undefined)
    expect(await show(service(), unused)).toMatchObject({ state: 'active' })
    await look(61, undefined)
    expect(await show(service(), unused)).toMatchObject({
      state: 'ended',
      end_reason: 'it was not used until its end',
    })
  })
})

describe('a command', () => {
  const script = (name: string, body: string): string => {
    const path = join(directory, name)
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o700 })
    return path
  }

  test('gets the facts on its standard input, its words as they are, and nothing of our environment', async () => {
    const out = join(directory, 'out')
    const path = script('tell', 'cat > "$1"; { echo "$2"; env; pwd; } > "$1.more"')
    process.env['TTS_WATCH_TEST_SECRET'] = 'in our environment'
    try {
      await commandNotifier([path, out, '$(touch /tmp/never) *; `id`'])(facts)
    } finally {
      delete process.env['TTS_WATCH_TEST_SECRET']
    }
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(facts)
    const more = readFileSync(`${out}.more`, 'utf8')
    expect(more.split('\n')[0]).toBe('$(touch /tmp/never) *; `id`')
    expect(more).not.toContain('in our environment')
    expect(more).not.toContain('NODE')
    expect(more).toMatch(/^\/$/m)
  })

  test('that does not read, or prints without end, is no trouble', async () => {
    await commandNotifier([script('deaf', 'exit 0')])(facts)
    await commandNotifier([script('loud', 'yes | head -c 3000000; yes | head -c 3000000 >&2')])(
      facts,
    )
  })

  test.for([
    ['fails', () => [script('fails', 'exit 3')], 'ended with code 3'],
    ['is killed', () => [script('killed', 'kill -9 $$')], 'ended with SIGKILL'],
    ['is not there', () => [join(directory, 'nothing')], 'could not be started'],
  ] as const)('that %s is a failure', async ([, command, words]) => {
    await expect(commandNotifier(command())(facts)).rejects.toMatchObject({
      check: 'notice_command',
      message: expect.stringContaining(words),
    })
  })

  test.for([
    { name: 'in the background', start: 'sleep "$1" &' },
    { name: 'in a session of its own', start: 'setsid sleep "$1" &' },
  ])('what it starts $name is ended with it', async ({ start }) => {
    const nap = `${5_000_000 + process.pid}.${start.length}`
    onTestFinished(async () => {
      for (const pid of await sleepers(nap)) process.kill(pid, 'SIGKILL')
    })
    await commandNotifier([script('leaves', `${start} exit 0`), nap])(facts)
    expect(await sleepers(nap)).toEqual([])
  })

  test('that hangs is ended with all that it started', async () => {
    const mark = join(directory, 'late')
    const path = script('hangs', `(sleep 0.5; touch "${mark}") & sleep 3600`)
    await expect(commandNotifier([path], 150)(facts)).rejects.toMatchObject({
      message: expect.stringContaining('took longer than 150 ms'),
    })
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(existsSync(mark)).toBe(false)
  })
})

describe('a webhook', () => {
  let server: Server
  let url = ''
  const got: { type: string | undefined; body: string }[] = []
  let behave: 'well' | 'badly' | 'never' | 'elsewhere' = 'well'
  beforeAll(async () => {
    server = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (part: string) => (body += part))
      request.once('end', () => {
        got.push({ type: request.headers['content-type'], body })
        if (behave === 'well') response.writeHead(204).end()
        else if (behave === 'badly') response.writeHead(500).end('no')
        else if (behave === 'elsewhere')
          response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=hidden`
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })

  test('is posted the facts', async () => {
    behave = 'well'
    await webhookNotifier(url)(facts)
    expect(got.at(-1)?.type).toBe('application/json')
    expect(JSON.parse(got.at(-1)?.body ?? '')).toEqual(facts)
  })

  test.for([
    ['badly', 'answered HTTP 500'],
    ['elsewhere', 'answered HTTP 307'],
    ['never', 'did not answer in 100 ms'],
  ] as const)('that answers %s is a failure, and is not named', async ([how, words]) => {
    behave = how
    const failure: unknown = await webhookNotifier(url, 100)(facts).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      check: 'notice_webhook',
      message: expect.stringContaining(words),
    })
    expect((failure as Error).message).not.toContain('hidden')
  })

  test('that is not there is a failure', async () => {
    await expect(webhookNotifier('http://127.0.0.1:1/')(facts)).rejects.toMatchObject({
      message: expect.stringContaining('cannot be reached'),
    })
  })
})
