/** Programs kept apart from the service: as another user, in a sandbox; and that nothing of a run outlives it. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseId } from '../../plugins/executable/account.ts'
import { exposure, isolationProblem, openIsolation } from '../../plugins/executable/isolation.ts'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { ATTACKER_UID, attackScene, noAttacker, startAttack } from '../support/attacker.ts'
import { findProgram } from '../support/grid-tools.ts'
import { sleepers } from '../support/sleepers.ts'
import {
  caller,
  firstValue,
  fixture,
  refusalOf,
  soon,
  startPlugin,
  useDirectory,
} from './support.ts'

const isRoot = process.getuid?.() === 0
/** A number that has no name on any machine. */
const OTHER = 61_002
const directory = useDirectory()
// Another user must get to the programs.
chmodSync(directory, 0o755)
for (const name of [
  'plugin.py',
  'plugin.sh',
  'looks.py',
  'daemon.py',
  'names-of-streams.sh',
  'echoes.py',
])
  copyFileSync(fixture(name), join(directory, name))

/** A secret of the service's, and a place that everybody can write. */
const secret = join(directory, 'ca-key.pem')
writeFileSync(secret, 'secret', { mode: 0o600 })
const shared = join(directory, 'shared')
mkdirSync(shared)
chmodSync(shared, 0o1777)

const readable = { readable_paths: [join(directory, 'plugin.py'), join(directory, 'plugin.sh')] }
const sandboxed = { sandbox: 'bubblewrap', ...readable }
const whyNoSandbox = sandboxFault()

function sandboxFault(): string | undefined {
  const bwrap = findProgram('bwrap')
  if (bwrap === undefined) return 'the Debian package bubblewrap is not installed'
  const words = ['--unshare-pid', '--ro-bind', '/', '/', '--proc', '/proc', 'true']
  const account = isRoot ? { uid: OTHER, gid: OTHER } : {}
  try {
    execFileSync(bwrap, words, { stdio: 'ignore', cwd: '/', ...account })
    return undefined
  } catch {
    return 'this machine lets users make no namespaces'
  }
}

interface Look {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly capabilities: string
  readonly descriptors: readonly number[]
  readonly processes: number
  readonly paths: Readonly<Record<string, { readonly read: boolean; readonly write: boolean }>>
}

async function look(given: object): Promise<Look> {
  const { plugin, lines } = await startPlugin(directory, 'looks.py', {
    command: [join(directory, 'looks.py')],
    environment: { PATHS: [secret, shared, '/etc/passwd', '/etc/hostname'].join(':') },
    ...given,
  })
  if (plugin.status.state === 'disabled') throw new Error(plugin.status.reason)
  const seen = JSON.parse(await firstValue(plugin)) as Look
  expect(lines.filter(({ level }) => level !== 'info')).toEqual([])
  return seen
}

/** 3 is that by which it looks. What this process was handed without close-on-exec goes on to all that it starts. */
function expectOwnDescriptors({ descriptors }: Look): void {
  const handedDown = readdirSync('/proc/self/fd').map(Number)
  expect(descriptors.filter((each) => each > 3 && !handedDown.includes(each))).toEqual([])
}

const runDirectories = (): readonly string[] =>
  readdirSync(directory).filter((name) => name.startsWith('tts-plugin-'))

describe.skipIf(!isRoot)(
  `another user${isRoot ? '' : ' (only root can run programs as one)'}`,
  () => {
    test.for([
      { name: 'a number without a name', user: OTHER, uid: OTHER, gid: OTHER, groups: [] },
      { name: 'a name', user: 'nobody', ...idOf('nobody') },
      { name: 'a number with a name', user: idOf('nobody').uid, ...idOf('nobody') },
    ])(
      '$name: with its groups, none of ours, and no rights of root',
      async ({ user, uid, gid, groups }) => {
        const seen = await look({ user })
        expect(seen).toMatchObject({ uid, gid, capabilities: '0000000000000000' })
        expect(new Set(seen.groups)).toEqual(new Set(groups))
        expectOwnDescriptors(seen)
        expect(seen.paths[secret]).toEqual({ read: false, write: false })
        expect(seen.paths[shared]).toEqual({ read: true, write: true })
        expect(runDirectories()).toEqual([])
      },
    )

    test('the groups that root has beside are not handed down', async () => {
      const before = process.getgroups?.() ?? []
      process.setgroups?.([0, 27, 4])
      try {
        expect((await look({ user: OTHER })).groups).toEqual([])
      } finally {
        process.setgroups?.(before)
      }
    })

    test('its streams can be opened by name', async () => {
      const { plugin, lines } = await startPlugin(directory, 'names-of-streams.sh', {
        command: [join(directory, 'names-of-streams.sh')],
        user: OTHER,
      })
      expect(await firstValue(plugin)).toBe('the value')
      expect(lines.at(-1)).toMatchObject({ stderr: expect.stringMatching(/the request has \d+/) })
    })

    test.for([
      {
        name: 'nobody has the name',
        given: { user: 'no-such-user-here' },
        reason: /there is no user no-such-user-here on this machine/,
      },
      { name: 'a second name of root', given: { user: 'toor0' }, reason: /there is no user toor0/ },
      {
        name: 'none',
        given: { allow_root: false },
        reason: /executable.user must be set, because the service runs as root/,
      },
      {
        name: 'the user cannot get to the program',
        given: { user: OTHER, command: [secretProgram()] },
        reason: /Permission denied/,
      },
    ])('not run: $name', async ({ given, reason }) => {
      const { plugin } = await startPlugin(directory, 'looks.py', {
        command: [join(directory, 'looks.py')],
        ...given,
      })
      expect(plugin.status).toMatchObject({
        state: 'disabled',
        reason: expect.stringMatching(reason),
      })
      expect(runDirectories()).toEqual([])
    })
  },
)

describe.skipIf(noAttacker !== undefined)(`what a run leaves (${noAttacker ?? 'as root'})`, () => {
  test('is removed without going where a link leads', { timeout: 60_000 }, async () => {
    const { victim, victimState } = await attackScene()
    for (let n = 1; n < 200; n += 1) writeFileSync(join(victim, `secret${n}`), '')
    const before = await victimState()
    const runs = join(dirname(victim), 'runs')
    mkdirSync(runs)
    await startAttack(
      `my ($d, $v) = @ARGV; for (glob "$d/tts-plugin-*/sub") { rename $_, "$_.x"; symlink $v, $_; select(undef, undef, undef, 0.0005); unlink $_; rename "$_.x", $_; select(undef, undef, undef, 0.0005) }`,
      [runs, victim],
    )
    const { plugin } = await startPlugin(directory, 'looks.py', {
      command: [join(directory, 'looks.py')],
      environment: { PATHS: secret, FILES: '200' },
      working_directory: runs,
      user: ATTACKER_UID,
    })
    for (let n = 0; n < 25; n += 1) await plugin.request(caller, {}, soon()).catch(() => undefined)
    expect(await victimState()).toEqual(before)
  })
})

/** A program that root can run and others cannot. */
function secretProgram(): string {
  const place = join(directory, 'of-root')
  mkdirSync(place, { mode: 0o700, recursive: true })
  for (const name of ['plugin.py', 'looks.py']) copyFileSync(fixture(name), join(place, name))
  return join(place, 'looks.py')
}

function idOf(name: string) {
  const number = (flag: string): string => execFileSync('id', [flag, name], { encoding: 'utf8' })
  const groups = number('-G').trim().split(' ').map(Number)
  return { uid: Number(number('-u')), gid: Number(number('-g')), groups }
}

/** Each as whom the service can run a program here. */
const users = isRoot ? [{ user: OTHER }, { allow_root: true }] : [{}]

describe.skipIf(whyNoSandbox !== undefined)(
  `the sandbox${whyNoSandbox ? ` (${whyNoSandbox})` : ''}`,
  () => {
    test.for(users)('as %o: it sees the system, itself and its directory', async (user) => {
      const seen = await look({ ...user, ...sandboxed })
      expect(seen.paths).toEqual({
        [secret]: { read: false, write: false },
        [shared]: { read: false, write: false },
        '/etc/passwd': { read: true, write: false },
        '/etc/hostname': { read: false, write: false },
      })
      expect(seen).toMatchObject({ capabilities: '0000000000000000' })
      expectOwnDescriptors(seen)
      // bubblewrap, and the program.
      expect(seen.processes).toBeLessThanOrEqual(3)
      expect(runDirectories()).toEqual([])
    })

    test.for(users)('as %o: and what the settings name', async (user) => {
      const seen = await look({
        ...user,
        sandbox: 'bubblewrap',
        readable_paths: [...readable.readable_paths, '/etc/hostname'],
        writable_paths: [shared],
      })
      expect(seen.paths).toMatchObject({
        [secret]: { read: false, write: false },
        [shared]: { read: true, write: true },
        '/etc/hostname': { read: true, write: false },
      })
    })

    test('a path that is not there: not run', async () => {
      const { plugin } = await startPlugin(directory, 'looks.py', {
        command: [join(directory, 'looks.py')],
        sandbox: 'bubblewrap',
        readable_paths: ['/no/such/path'],
      })
      expect(plugin.status).toMatchObject({
        state: 'disabled',
        reason: expect.stringMatching(/bwrap: .*no\/such\/path/),
      })
    })

    test('its streams can be opened by name', async () => {
      const { plugin } = await startPlugin(directory, 'names-of-streams.sh', {
        command: [join(directory, 'names-of-streams.sh')],
        ...sandboxed,
        ...(isRoot && { user: OTHER }),
      })
      expect(await firstValue(plugin)).toBe('the value')
    })
  },
)

describe('a daemon that a program leaves behind, in a session of its own, is ended with the run', () => {
  let count = 0
  const kinds = [
    { kind: 'as the user of the service', given: {}, why: undefined },
    {
      kind: 'as another user',
      given: { user: OTHER },
      why: isRoot ? undefined : 'only root can run programs as another user',
    },
    { kind: 'in the sandbox', given: sandboxed, why: whyNoSandbox },
    {
      kind: 'in the sandbox, with another environment',
      given: { ...sandboxed, mode: 'other environment' },
      why: whyNoSandbox,
    },
  ]
  describe.for(kinds)(
    '$kind',
    ({
      given: { mode: onlyMode, ...given },
      why,
    }: {
      given: { mode?: string; user?: number; sandbox?: string }
      why: string | undefined
    }) => {
      test.for([
        { mode: 'answer', ends: 'ok' },
        { mode: 'crash', ends: 'failed' },
        { mode: 'flood', ends: 'failed' },
        { mode: 'hang', ends: 'timeout' },
        { mode: 'hang', ends: 'aborted' },
      ])('$mode: $ends', async ({ mode, ends }, { skip }) => {
        skip(why !== undefined, why)
        const nap = `${7_000_000 + process.pid}.${(count += 1)}`
        onTestFinished(async () => {
          for (const pid of await sleepers(nap)) process.kill(pid, 'SIGKILL')
        })
        const { plugin, lines } = await startPlugin(directory, 'daemon.py', {
          command: [join(directory, 'daemon.py')],
          environment: { MODE: onlyMode ?? mode, NAP: nap },
          maximum_output_bytes: 50_000,
          timeout_seconds: ends === 'timeout' ? 2 : 30,
          ...given,
        })
        expect(plugin.status).toMatchObject({ state: 'ready' })
        const leaving = new AbortController()
        const asked = plugin.request(caller, {}, AbortSignal.any([soon(), leaving.signal]))
        asked.catch(() => undefined)
        if (ends === 'aborted' && onlyMode === undefined) {
          while ((await sleepers(nap)).length === 0)
            await new Promise((resolve) => setTimeout(resolve, 10))
          leaving.abort(new Error('the caller has left'))
          await expect(asked).rejects.toThrow('the caller has left')
        } else if (ends === 'ok' || onlyMode !== undefined) await asked
        else expect((await refusalOf(asked)).code).toBe(ends)
        // The kernel ends the processes of a namespace with its first one, a moment after.
        await expect.poll(() => sleepers(nap)).toEqual([])
        if (given.sandbox === undefined)
          expect(lines.at(-1)).toMatchObject({ level: 'warn', left_children: true })
      })
    },
  )
})

describe('what the settings may say', () => {
  const settings = (given: object) => executableSettings.parse({ command: ['/p'], ...given })
  const ssh = { type: 'ssh', host: 'h', user: 'u', identity_file: '/i', known_hosts_file: '/k' }

  test.for([
    { name: 'root, nothing said', given: {}, asRoot: /must be set/, asOther: undefined },
    { name: 'allow_root', given: { allow_root: true }, asRoot: undefined, asOther: undefined },
    {
      name: 'a user',
      given: { user: 'x' },
      asRoot: undefined,
      asOther: /needs a service that runs as root/,
    },
    {
      name: 'the sandbox alone',
      given: { sandbox: 'bubblewrap' },
      asRoot: /must be set/,
      asOther: undefined,
    },
    { name: 'by ssh', given: { connection: ssh }, asRoot: undefined, asOther: undefined },
  ])('$name', ({ given, asRoot, asOther }) => {
    for (const [root, wanted] of [
      [true, asRoot],
      [false, asOther],
    ] as const) {
      const problem = isolationProblem(settings(given), root)
      if (wanted === undefined) expect(problem).toBeUndefined()
      else expect(problem).toMatchObject({ key: 'user', message: expect.stringMatching(wanted) })
    }
  })

  test.for([
    { given: { user: 'root' }, says: 'must not be root' },
    { given: { user: '0' }, says: 'must not be root' },
    { given: { user: '00' }, says: 'must not be root' },
    { given: { user: 0 }, says: 'user' },
    { given: { user: -1 }, says: 'user' },
    { given: { user: 4_294_967_295 }, says: 'user' },
    { given: { user: '-u' }, says: 'must be a user name or a number' },
    { given: { user: 'a b' }, says: 'must be a user name or a number' },
    { given: { user: '' }, says: 'must be a user name or a number' },
    { given: { sandbox: 'chroot' }, says: 'sandbox' },
    { given: { readable_paths: ['/x'] }, says: 'needs sandbox: bubblewrap' },
    { given: { writable_paths: ['/x'] }, says: 'needs sandbox: bubblewrap' },
    { given: { sandbox: 'bubblewrap', readable_paths: ['/'] }, says: 'must not be /' },
    { given: { sandbox: 'bubblewrap', writable_paths: ['relative'] }, says: 'absolute path' },
    { given: { connection: ssh, user: 'x' }, says: 'must not be set with connection.type ssh' },
    {
      given: { connection: ssh, sandbox: 'bubblewrap' },
      says: 'must be none with connection.type ssh',
    },
  ])('refused: $given', ({ given, says }) => {
    const { error } = executableSettings.safeParse({ command: ['/p'], ...given })
    expect(JSON.stringify(error?.issues)).toContain(says)
  })

  test('who is exposed is told', () => {
    expect(exposure(settings({ allow_root: true }))).toMatch(/the CA key/)
    for (const given of [{ user: 'x' }, { sandbox: 'bubblewrap' }, { connection: ssh }])
      expect(exposure(settings(given))).toBeUndefined()
  })

  test('ssh runs as the service', async () => {
    const isolation = await openIsolation(settings({ connection: ssh }))
    expect(isolation).toMatchObject({ account: undefined, asUser: undefined })
    const command = { file: '/usr/bin/ssh', args: ['-p'] }
    expect(await isolation.wrap(command, '/d')).toEqual(command)
  })

  test.for([
    {
      text: 'uid=1000(alice) gid=100(users) groups=100(users),27(sudo),4(adm)\n',
      account: { uid: 1000, gid: 100, groups: [100, 27, 4] },
    },
    { text: 'uid=7 gid=8 groups=8\n', account: { uid: 7, gid: 8, groups: [8] } },
    {
      text: 'uid=7(a) gid=8(DOMAIN\\dom users) groups=8(DOMAIN\\dom users),9(x y)\n',
      account: { uid: 7, gid: 8, groups: [8, 9] },
    },
    { text: 'uid=7 gid=8\n', account: { uid: 7, gid: 8, groups: [] } },
    { text: 'id: no such user\n', account: undefined },
    { text: '', account: undefined },
  ])('id says $text', ({ text, account }) => {
    expect(parseId(text)).toEqual(account)
  })
})

test('nothing of these tests is left', () => {
  expect(runDirectories()).toEqual([])
  expect(existsSync(secret) && statSync(secret).mode & 0o777).toBe(0o600)
})
