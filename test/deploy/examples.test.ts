import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createCertcacheProgram } from '../../src/certcache/cli/program.ts'
import { loadSettings } from '../../src/certcache/settings/load-settings.ts'
import type { HeldProxy } from '../../src/certcache/proxy-engine.ts'
import { makeHeldProxy, standInEngine, testServer } from '../certcache/server-support.ts'
import { findProgram } from '../support/grid-tools.ts'
import {
  containerCommand,
  cronCommand,
  cronJobs,
  deployed,
  isCertcache,
  manifestFiles,
  manifestsOf,
  podsOf,
  serviceCommand,
  unitValues,
} from './example-files.ts'
import { deployDirectory, getProxyScript, runShell, shells, startShell } from './shells.ts'

let proxy: HeldProxy
let directory = ''
const path = (name: string): string => join(directory, name)
beforeAll(async () => {
  proxy = await makeHeldProxy()
  directory = mkdtempSync(join(tmpdir(), 'deploy-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

const program = createCertcacheProgram({ out: () => undefined, note: () => undefined } as never, {
  version: '0',
})

/** Refuses words that `certcache` does not take, as it would; the command is not run. */
function takes(words: readonly string[]): void {
  const [name = '', ...rest] = words
  const command: Command | undefined = program.commands.find((each) => each.name() === name)
  expect(command, `there is no certcache ${name}`).toBeDefined()
  const { operands, unknown } = command?.parseOptions([...rest]) ?? { operands: [], unknown: ['?'] }
  expect({ words, operands, unknown }).toEqual({ words, operands: [], unknown: [] })
}

/** Loads settings from these variables alone; files of secrets and TLS stand in for what is mounted. */
async function loads(environment: Readonly<Record<string, string>>) {
  return loadSettings(undefined, { environment: { HOME: directory, ...environment }, uid: 1000 })
}

describe('systemd', () => {
  const services = ['tts.service', 'certcache.service', 'certcache-refresh.service']
  test.skipIf(findProgram('systemd-analyze') === undefined)(
    'the units are understood',
    async () => {
      for (const unit of [...services, 'certcache-refresh.timer']) {
        // Of what is not on this machine, something that is.
        const text = deployed(`systemd/${unit}`)
          .replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true')
          .replace(/^(User|Group)=(?:grid|tts|certcache)$/gm, '$1=daemon')
        writeFileSync(path(unit), text)
      }
      const words = [
        'verify',
        '--man=no',
        path('tts.service'),
        path('certcache.service'),
        path('certcache-refresh.timer'),
      ]
      const verify = async () => runShell(['systemd-analyze', ...words])
      expect(await verify()).toEqual({ code: 0, out: '', err: '' })
      // And it would say so, though with code 0.
      const broken = deployed('systemd/certcache.service').replace('Type=exec', 'Type=exce')
      writeFileSync(path('certcache.service'), broken)
      expect((await verify()).err).toContain('exce')
    },
  )

  test.for(['certcache.service', 'certcache-refresh.service'])(
    '%s: the program takes its words and variables',
    async (unit) => {
      expect(unitValues(unit, 'ExecStart').length).toBe(1)
      const { words, environment: written } = serviceCommand(unit)
      expect(words[0]).toBe('/usr/bin/certcache')
      takes(words.slice(1))
      const environment = Object.fromEntries(
        Object.entries(written).map(([name, value]) => [
          name,
          value.replace('%S', '/var/lib').replace('%d', '/run/credentials/x'),
        ]),
      )
      // That of certcache.service is in its file.
      const url = { CERTCACHE_SERVICE__URL: 'https://tts.example.org' }
      const { settings } = await loads({ ...url, ...environment })
      expect(settings.state.directory).toMatch(/^\/var\/lib\/certcache/)
      expect(settings.source.token_file).toMatch(
        /^\/(run\/credentials\/x\/token|home\/grid\/\.token)$/,
      )
      // The directory that it writes to is the one that systemd makes for it.
      expect(settings.state.directory).toBe(`/var/lib/${unitValues(unit, 'StateDirectory')[0]}`)
    },
  )

  test.for(['certcache.service', 'certcache-refresh.service'])(
    '%s: a refresh of a token is not cut off',
    (unit) => {
      // The refresh helper ignores SIGTERM; `mixed` would send SIGKILL as soon as certcache has died.
      expect(unitValues(unit, 'KillMode')).toEqual(['control-group'])
      const [tries, discovery] = [2 * 45, 45]
      expect(Number(unitValues(unit, 'TimeoutStopSec')[0])).toBeGreaterThanOrEqual(
        tries + discovery,
      )
      expect(unitValues(unit, 'StateDirectoryMode')).toEqual(['0700'])
    },
  )

  test.skipIf(findProgram('systemd-analyze') === undefined).for(services)(
    '%s: systemd-analyze rates its exposure at 2.0 at most',
    async (unit) => {
      const rate = async (text: string) => {
        writeFileSync(path(unit), text)
        const words = ['--no-pager', '--offline=true', '--threshold=20', path(unit)]
        return runShell(['systemd-analyze', 'security', ...words])
      }
      expect(await rate(deployed(`systemd/${unit}`))).toMatchObject({
        code: 0,
        out: expect.stringMatching(/Overall exposure level for \S+: [01]\.\d OK/),
      })
      const softer = deployed(`systemd/${unit}`).replace(/^SystemCallFilter=.*\n/m, '')
      expect(await rate(softer)).toMatchObject({ code: 1 })
    },
  )

  test('tts.service: starts the service, reloads it by SIGHUP, and ends all of its processes', () => {
    expect(unitValues('tts.service', 'ExecStart')).toEqual([
      '/usr/bin/tts serve --config /etc/tts/tts.yaml',
    ])
    expect(unitValues('tts.service', 'ExecReload')).toEqual(["/bin/sh -c 'kill -HUP $MAINPID'"])
    expect(unitValues('tts.service', 'KillMode')).toEqual(['control-group'])
    expect(unitValues('tts.service', 'Wants')).toEqual(['network-online.target'])
    expect(unitValues('tts.service', 'StateDirectoryMode')).toEqual(['0700'])
  })

  test('certcache.service is hardened', () => {
    for (const key of [
      'User=certcache',
      'StateDirectory=certcache',
      'StateDirectoryMode=0700',
      'NoNewPrivileges=yes',
      'ProtectSystem=strict',
      'ProtectHome=yes',
      'PrivateTmp=yes',
      'CapabilityBoundingSet=',
      'UMask=0077',
      'LimitCORE=0',
    ])
      expect(deployed('systemd/certcache.service').split('\n')).toContain(key)
  })
})

describe('cron', () => {
  const [job = '', ...others] = cronJobs
  const { environment } = cronCommand()

  test('the line is run by sh as it stands', async () => {
    expect(others).toEqual([])
    const [, when = '', user, command = ''] = /^((?:\S+ ){5})(\S+) (.*)$/.exec(job) ?? []
    expect(when).toMatch(/^([\d*/,-]+ ){5}$/)
    expect(user).toBe('grid')
    // cron takes % for an end of line.
    expect(command).not.toContain('%')
    const [word = '', ...words] = command.split(' ')
    expect(word).toBe('/usr/local/bin/certcache')
    takes(words)

    const stub = path('certcache')
    writeFileSync(stub, '#!/bin/sh\nprintf "%s\\n" "$CERTCACHE_SERVICE__URL" "$@"\n', {
      mode: 0o755,
    })
    const run = await runShell(['sh', '-c', command.replace(word, stub)], { env: environment })
    expect(run).toEqual({ code: 0, out: `https://tts.example.org\n${words.join('\n')}\n`, err: '' })
    const { MAILTO: _, ...ours } = environment
    const { settings } = await loads(ours)
    expect(settings.source.token_file).toBe('/home/grid/.token')
  })
})

describe('Kubernetes', () => {
  test('there are a sidecar, a job and a cache', () => {
    expect(manifestFiles.toSorted()).toEqual(['cache.yaml', 'job.yaml', 'sidecar.yaml'])
    const kinds = manifestFiles.map((file) => [file, manifestsOf(file).map(({ kind }) => kind)])
    expect(Object.fromEntries(kinds)).toEqual({
      'cache.yaml': ['Service', 'Deployment'],
      'job.yaml': ['Job'],
      'sidecar.yaml': ['Deployment'],
    })
  })

  test.for(manifestFiles)('%s: certcache takes its words, variables and files', async (file) => {
    for (const pod of podsOf(file)) {
      const [ours, ...more] = [...(pod.initContainers ?? []), ...pod.containers].filter(isCertcache)
      expect(more).toEqual([])
      if (!ours) throw new Error('no container of certcache')
      takes(ours.args ?? [])
      const secrets: string[] = []
      const { environment } = containerCommand(file, (secret) => {
        secrets.push(secret)
        return 'a-secret-of-the-cluster'
      })
      const { settings, overrides } = await loads(environment)
      // Every variable is one that it knows.
      expect(overrides).toEqual(Object.keys(environment).sort())
      expect(settings.source.delegation_id).toBeDefined()
      const about = deployed('kubernetes/README.md')
      for (const secret of secrets)
        for (const word of secret.split('/')) expect(about).toContain(word)
      // What it writes lies on a volume, for all else is read-only.
      const writes = [settings.state.directory, ...optionPaths(ours.args ?? [])]
      for (const each of writes.filter((name) => !name.startsWith(directory)))
        expect(ours.volumeMounts.some(({ mountPath }) => each.startsWith(`${mountPath}/`))).toBe(
          true,
        )
    }
  })

  const optionPaths = (args: readonly string[]): readonly string[] =>
    args.filter((_, index) => ['--out', '--state'].includes(args[index - 1] ?? ''))

  test.for(manifestFiles)('%s: no root, no writing, volumes that exist', (file) => {
    for (const pod of podsOf(file)) {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 })
      const volumes = pod.volumes.map(({ name }) => name)
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        for (const { name } of container.volumeMounts) expect(volumes).toContain(name)
        const proxyFile = container.env?.find(({ name }) => name === 'X509_USER_PROXY')?.value
        if (proxyFile === undefined) continue
        const ours = (pod.initContainers ?? []).find(isCertcache)
        expect(optionPaths(ours?.args ?? [])).toContain(proxyFile)
      }
    }
  })

  test('the probes ask what there is', async () => {
    const [sidecar] = podsOf('sidecar.yaml').flatMap(({ initContainers = [] }) => initContainers)
    const live = sidecar?.livenessProbe?.exec?.command.at(-1) ?? ''
    // A warning or a missing proxy is no reason to kill it; that nobody answers is.
    for (const [code, wanted] of [
      [0, 0],
      [1, 0],
      [2, 0],
      [3, 1],
    ] as const) {
      writeFileSync(
        path('node'),
        `#!/bin/sh\n[ "$*" = "/app/dist/certcache.js status" ] && exit ${code}\n`,
      )
      chmodSync(path('node'), 0o755)
      const run = await runShell(['sh', '-c', live], {
        env: { PATH: `${directory}:${process.env['PATH']}` },
      })
      expect([code, run.code]).toEqual([code, wanted])
    }
    const [cache] = podsOf('cache.yaml').flatMap(({ containers }) => containers)
    expect(cache?.readinessProbe?.httpGet).toEqual({
      path: '/health',
      port: 'https',
      scheme: 'HTTPS',
    })
  })
})

describe('the HTCondor glidein', () => {
  const submit = deployed('htcondor/glidein.sub')
  const value = (key: string): string =>
    new RegExp(`^${key} *= *(.*)$`, 'm').exec(submit)?.[1] ?? ''
  const start = join(deployDirectory, 'htcondor/start-glidein.sh')

  test('the submit description names what there is', () => {
    expect(value('executable')).toBe('start-glidein.sh')
    expect(statSync(start).mode & 0o111).toBe(0o111)
    expect(value('transfer_input_files').split(', ')).toEqual([
      'get-proxy.sh',
      'pilot.config',
      'certcache-secret',
      'certcache-ca.pem',
    ])
    const names = value('environment')
      .replace(/^"|"$/g, '')
      .split(' ')
      .map((each) => each.split('=')[0])
    const known = readFileSync(getProxyScript, 'utf8')
    expect(names.length).toBeGreaterThan(3)
    for (const name of names) expect(known).toContain(`{${name}:-`)
    expect(submit).toMatch(/^queue \d+$/m)
  })

  test.for(['pool.config', 'pilot.config'])('%s: the document explains its settings', (file) => {
    const document = readFileSync(join(deployDirectory, '../docs/htcondor.md'), 'utf8')
    const settings = [...deployed(`htcondor/${file}`).matchAll(/^(\w+) *=/gm)].map(
      ([, name = '']) => name,
    )
    expect(settings.length).toBeGreaterThan(5)
    const security = settings.filter((name) => /^(AUTH|ALLOW|CERT|SEC_(ADV|CLI|USE))/.test(name))
    const explains = (name: string): boolean =>
      document.includes(name) || document.includes(name.replace(/^AUTH_SSL_SERVER/, ''))
    expect(security.filter((name) => !explains(name))).toEqual([])
  })

  /** A job's scratch directory as HTCondor lays it out, with a stand-in for condor_master. */
  function scratch(name: string, master: string) {
    const job = path(name)
    mkdirSync(job)
    copyFileSync(start, join(job, 'condor_exec.exe'))
    copyFileSync(getProxyScript, join(job, 'get-proxy.sh'))
    chmodSync(join(job, 'get-proxy.sh'), 0o644)
    copyFileSync(join(deployDirectory, 'htcondor/pilot.config'), join(job, 'pilot.config'))
    writeFileSync(join(job, 'condor_master'), `#!/bin/sh\n${master}\n`, { mode: 0o755 })
    return job
  }
  const environment = (job: string, url: string) => ({
    PATH: `${job}:${process.env['PATH']}`,
    _CONDOR_SCRATCH_DIR: job,
    CERTCACHE_URL: url,
    CERTCACHE_WORKER_VALID: '43200',
    CERTCACHE_WORKER_WAIT: '0',
  })
  async function warm() {
    const engine = standInEngine()
    engine.put(proxy)
    const server = await testServer(engine)
    ends.push(() => server.close(0))
    return { engine, url: server.url }
  }
  const [, ...masterArguments] = value('arguments').split(' ')

  test.for(shells)(
    "in $shell: the pilot has a proxy, and its code is the job's",
    async ({ shell, words }) => {
      const job = scratch(
        `job-${shell}`,
        'echo "$X509_USER_PROXY $*"; openssl x509 -noout -checkend 43200 -in "$X509_USER_PROXY"; exit 9',
      )
      const { url } = await warm()
      const run = await runShell(
        [...words, 'condor_exec.exe', 'condor_master', ...masterArguments],
        {
          cwd: job,
          env: environment(job, url),
        },
      )
      expect(run).toEqual({
        code: 9,
        out: `${job}/gwms_proxy -f\nCertificate will not expire\n`,
        err: '',
      })
      expect(statSync(join(job, 'gwms_proxy')).mode & 0o777).toBe(0o600)
    },
  )

  test.for(shells)(
    'in $shell: it is renewed while the pilot runs, which ends in order',
    async ({ shell, words }) => {
      const master = `trap 'echo told to end; exit 4' TERM; while :; do sleep 0.05; done`
      const job = scratch(`long-${shell}`, master)
      const { engine, url } = await warm()
      const started = startShell([...words, 'condor_exec.exe', 'condor_master', '-f'], {
        cwd: job,
        env: { ...environment(job, url), START_GLIDEIN_RENEW_SECONDS: '1' },
      })
      const file = join(job, 'gwms_proxy')
      await expect.poll(() => existsSync(file), { timeout: 10_000 }).toBe(true)
      const other = await makeHeldProxy({ now: new Date(Date.now() + 5000) })
      engine.put(other)
      await expect
        .poll(() => readFileSync(file, 'utf8'), { timeout: 15_000 })
        .toBe(other.pem.toString())
      started.kill('SIGTERM')
      // Its output is closed: no child lives on.
      expect(await started.ended).toEqual({ code: 4, out: 'told to end\n', err: '' })
    },
  )

  test.for(shells)(
    'in $shell: a signal does not hide the code of a pilot that ends at once',
    { timeout: 60_000 },
    async ({ shell, words }) => {
      const job = scratch(`signal-${shell}`, '')
      const master = `#!/usr/bin/perl\n$| = 1; $SIG{TERM} = sub { exit 4 }; print "ready\\n"; sleep 9 while 1;\n`
      writeFileSync(join(job, 'condor_master'), master, { mode: 0o755 })
      writeFileSync(join(job, 'get-proxy.sh'), 'exit 0')
      const env = environment(job, 'http://127.0.0.1:1')
      const signalled = async (): Promise<number | NodeJS.Signals> => {
        const run = startShell([...words, 'condor_exec.exe', 'condor_master'], { cwd: job, env })
        await expect.poll(run.out, { interval: 2, timeout: 10_000 }).toBe('ready\n')
        run.kill('SIGTERM')
        return (await run.ended).code
      }
      // Whether the shell learns of the signal or of the end first depends on the load of the machine.
      for (let count = 0; count < 20; count += 1) {
        const codes = await Promise.all(Array.from({ length: 6 }, signalled))
        expect(codes).toEqual(codes.map(() => 4))
      }
    },
  )

  test.for(shells)(
    'in $shell: HTCondor is told to show the proxy, and has its configuration',
    async ({ shell, words }) => {
      const settings = ['AUTH_SSL_USE_CLIENT_PROXY_ENV_VAR', 'AUTH_SSL_CLIENT_CADIR', 'LOCAL_DIR']
      const values = settings.map((name) => `$_CONDOR_${name}`).join(' ')
      const job = scratch(
        `settings-${shell}`,
        `echo "$CONDOR_CONFIG ${values}"; ls "$_CONDOR_LOCAL_DIR"`,
      )
      const { url } = await warm()
      const env = { ...environment(job, url), X509_CERT_DIR: '/some/certificates' }
      const run = await runShell([...words, 'condor_exec.exe', 'condor_master'], { cwd: job, env })
      const said = `${job}/pilot.config True /some/certificates ${job}/pilot\nexecute\nlog\n`
      expect(run).toEqual({ code: 0, out: said, err: '' })

      rmSync(join(job, 'pilot.config'))
      const site = { ...environment(job, url), CONDOR_CONFIG: '/etc/condor/site_config' }
      const other = await runShell([...words, 'condor_exec.exe', 'condor_master'], {
        cwd: job,
        env: site,
      })
      expect(other.out).toMatch(/^\/etc\/condor\/site_config True {2}\n/)
    },
  )

  test.for(shells)(
    'in $shell: a pilot that ends at once leaves nothing behind',
    async ({ shell, words }) => {
      const job = scratch(`short-${shell}`, 'exit 0')
      // What is left behind holds the output open, so that the run does not end before the time of this test.
      const env = { ...environment(job, 'http://127.0.0.1:1'), START_GLIDEIN_RENEW_SECONDS: '100' }
      writeFileSync(join(job, 'get-proxy.sh'), 'exit 0')
      for (let count = 0; count < 60; count += 1) {
        const run = await runShell([...words, 'condor_exec.exe', 'condor_master'], {
          cwd: job,
          env,
        })
        expect(run).toEqual({ code: 0, out: '', err: '' })
      }
    },
  )

  test('without a proxy the pilot does not start', async () => {
    const job = scratch('none', 'echo it runs')
    const run = await runShell(['sh', 'condor_exec.exe', 'condor_master', '-f'], {
      cwd: job,
      env: environment(job, 'http://127.0.0.1:9'),
    })
    expect({ code: run.code, out: run.out }).toEqual({ code: 4, out: '' })
    expect((await runShell(['sh', start])).code).toBe(2)
  })
})
