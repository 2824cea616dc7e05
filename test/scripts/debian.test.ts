/** The Debian packages and the single executable file, in an empty Debian with a systemd of its own. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type DebianMachine,
  noDebianMachine,
  startDebianMachine,
} from '../support/debian-machine.ts'
import { programPath } from '../support/programs.ts'
import { asScript, scriptProblem } from '../tutorials/as-script.ts'
import { blocksAfterInstallation, installCommand } from '../tutorials/operator-tutorial.ts'

const reason = noDebianMachine()
const isRequired = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'

/** Programs of the sources that a tutorial needs besides ours. */
const DEMO = `#!/bin/sh
exec /opt/sources/node_modules/.bin/node /opt/sources/demo/main.ts "$@"
`

describe.skipIf(reason !== undefined)('in an empty Debian', () => {
  let machine: DebianMachine
  let directory = ''
  /** Runs a script, which must be good; returns its output. */
  const sh = async (script: string): Promise<string> => machine.outputOf(script)
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tts-debian-test-'))
    const packages = join(directory, 'packages')
    const words = ['--only', 'debian,single-file', '--fast', '--out', packages]
    await promisify(execFile)(process.execPath, [programPath('scripts/packages/main.ts'), ...words])
    machine = await startDebianMachine({ '/opt/sources': programPath('.') })
    const root = join(machine.directory, 'root')
    for (const name of readdirSync(packages)) copyFileSync(join(packages, name), join(root, name))
    const demo = join(machine.directory, 'usr/local/bin/tts-demo')
    writeFileSync(demo, DEMO, { mode: 0o755 })
    await sh('rm *.cdx.json SHA256SUMS')
  }, 480_000)
  afterAll(async () => {
    await (machine as DebianMachine | undefined)?.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  /** Runs the tutorial of operators in a new directory: a command that installs, and all from the second step on. */
  async function runTutorial(install: string): Promise<void> {
    const blocks = blocksAfterInstallation()
    const script = [install, 'cd "$(mktemp -d)"', asScript(blocks)].join('\n')
    writeFileSync(join(machine.directory, 'root/tutorial'), script)
    const { out } = await machine.sh('timeout 100 bash tutorial')
    expect(scriptProblem(blocks, out)).toBeUndefined()
  }

  test('the tutorial, with the single executable file: there is no Node', async () => {
    expect((await machine.sh('node --version')).code).toBe(127)
    await runTutorial(installCommand(/^install /))
    expect(await sh('bin/tts certcache --version')).toMatch(/^\d+\.\d+\.\d+$/m)
    await sh('rm -r bin')
  }, 120_000)

  test('apt installs the package; nothing runs; users, directories and modes are right', async () => {
    // A site may have made the group already, with the number that it has on other machines.
    await sh('groupadd --gid 4321 certcache')
    await sh(`${installCommand(/^apt /)} ./certcache_*.deb`)
    expect(await sh('id certcache')).toMatch(/^uid=\d+\(certcache\) gid=4321\(certcache\)/)
    const line = /^\d+\.\d+\.\d+ \(commit [0-9a-f]{40}(-dirty)?, built \S+Z, Node\.js v24\.\S+\)\n$/
    for (const name of ['tts', 'certcache']) {
      expect(await sh(`${name} version`)).toMatch(line)
      expect((await machine.sh(`systemctl is-enabled ${name}`)).out).toBe('disabled\n')
      expect((await machine.sh(`systemctl is-active ${name}`)).out).toBe('inactive\n')
    }
    expect(await sh('getent passwd tts')).toMatch(
      /^tts:x:\d+:\d+::\/var\/lib\/tts:\/usr\/sbin\/nologin$/m,
    )
    const paths = ['/etc/tts', '/etc/tts/tts.yaml', '/var/lib/tts', '/etc/certcache/certcache.yaml']
    expect(await sh(`stat -c '%U:%G %a %n' ${paths.join(' ')}`)).toBe(
      [
        'root:tts 750 /etc/tts',
        'root:tts 640 /etc/tts/tts.yaml',
        'tts:tts 700 /var/lib/tts',
        'root:root 644 /etc/certcache/certcache.yaml',
        '',
      ].join('\n'),
    )
    const ours = '/usr/lib/tts /usr/lib/certcache /usr/bin/tts /usr/lib/systemd/system/tts.service'
    expect(await sh(`find ${ours} \\( ! -user root -o -perm /022 \\)`)).toBe('')
    expect(await sh('dpkg --verify tts certcache')).toBe('')
    expect(await sh('zcat /usr/share/man/man1/tts-proxy-init.1.gz')).toMatch(/^\.TH /m)
    expect(await sh('. /usr/share/bash-completion/completions/tts; complete -p tts')).toContain(
      'tts',
    )
    const others = ['zsh/vendor-completions/_tts', 'fish/vendor_completions.d/tts.fish']
    for (const path of others) expect(await sh(`cat /usr/share/${path}`)).toMatch(/^#.*\btts$/m)
    expect(await sh('ls /usr/lib/tts /usr/share/doc/tts')).toMatch(
      /bill-of-materials\.cdx\.json[^]*third-party-licenses\.txt[^]*copyright/,
    )
  }, 120_000)

  test('the tutorial, with the package', async () => {
    await runTutorial('true')
  }, 120_000)

  test('the hardened unit: it starts, issues, reloads, and comes back after a crash', async () => {
    await sh(
      "tts-demo --provider --dir /srv/provider >/dev/null 2>&1 & timeout 60 sh -c 'until [ -s /srv/provider/token ]; do sleep 0.2; done'",
    )
    const issuer = (await sh('cat /srv/provider/issuer')).trim()
    const settings = (groups: string): string =>
      stringify({
        data_dir: '/var/lib/tts',
        providers: { iam: { issuer, audiences: ['https://tts.demo'] } },
        services: {
          proxy: {
            authz: { allow: [{ provider: 'iam', claims: { groups: { contains: groups } } }] },
          },
        },
      })
    const write = (text: string): void =>
      writeFileSync(join(machine.directory, 'etc/tts/tts.yaml'), text)
    const ready = 'until curl -sf http://127.0.0.1:8080/readyz >/dev/null; do sleep 0.2; done'
    const proxy = 'tts proxy init --token-file /srv/provider/token --out /tmp/proxy'
    write(settings('nobody'))
    await sh(`systemctl enable --now tts 2>&1; timeout 60 sh -c '${ready}'`)
    expect((await machine.sh(proxy)).out).toContain('no rule of this service allows this user')
    write(settings('cms'))
    const before = (await sh('systemctl show -p MainPID --value tts')).trim()
    await sh('systemctl reload tts')
    await sh(`for try in $(seq 50); do ${proxy} && exit 0; sleep 0.2; done; exit 1`)
    expect((await sh('systemctl show -p MainPID --value tts')).trim()).toBe(before)

    const status = await sh(`cat /proc/${before}/status`)
    for (const line of [
      /^NoNewPrivs:\t1$/m,
      /^CapEff:\t0+$/m,
      /^Seccomp:\t2$/m,
      /^Uid:\t(?!0\t)\d+\t/m,
    ])
      expect(status).toMatch(line)
    const reach = `nsenter --mount --target ${before}`
    expect((await machine.sh(`${reach} touch /etc/tts/x`)).out).toContain('Read-only file system')
    expect(await sh(`stat -c '%U %a' /var/lib/tts/tts.db /var/lib/tts/ca/ca-key.pem`)).toBe(
      'tts 600\ntts 600\n',
    )

    await sh('systemctl kill --signal=KILL --kill-whom=main tts')
    await sh(`timeout 60 sh -c '${ready}'`)
    expect((await sh('systemctl show -p MainPID --value tts')).trim()).not.toBe(before)
    await sh(proxy)
  }, 120_000)

  test('certcache as a unit: with a user of its own, and the token by LoadCredential', async () => {
    writeFileSync(
      join(machine.directory, 'etc/certcache/certcache.yaml'),
      stringify({ service: { url: 'http://127.0.0.1:8080' }, source: { kind: 'token' } }),
    )
    await sh('install -m 600 /srv/provider/token /etc/certcache/token')
    await sh('systemctl enable --now certcache 2>&1')
    const fetch = 'curl -sf http://127.0.0.1:8081/get_proxy'
    await sh(
      `timeout 60 sh -c 'until ${fetch} >/tmp/cached; do sleep 0.2; done' || { certcache status; exit 1; }`,
    )
    expect(await sh('chmod 600 /tmp/cached; tts proxy info /tmp/cached')).toContain('RFC 3820')
    const pid = (await sh('systemctl show -p MainPID --value certcache')).trim()
    expect(await sh(`stat -c %U /proc/${pid}`)).toBe('certcache\n')
    expect(await sh('systemctl reload certcache; systemctl is-active certcache')).toBe('active\n')
    await sh('systemctl stop certcache')
  }, 120_000)

  test('an upgrade restarts what runs, and keeps the settings', async () => {
    const before = (await sh('systemctl show -p MainPID --value tts')).trim()
    await sh('dpkg --install tts_*.deb')
    await sh(
      `timeout 60 sh -c 'until curl -sf http://127.0.0.1:8080/readyz >/dev/null; do sleep 0.2; done'`,
    )
    expect((await sh('systemctl show -p MainPID --value tts')).trim()).not.toBe(before)
    expect(await sh('cat /etc/tts/tts.yaml')).toContain('contains: cms')
  }, 120_000)

  test('a purge stops it and keeps the CA, unless it is told to delete it', async () => {
    const kept = 'tts: kept /var/lib/tts, with the key of the CA and all records.'
    expect(await sh('apt-get purge -y tts certcache')).toContain(kept)
    expect((await machine.sh('systemctl is-active tts')).out).toBe('inactive\n')
    expect(await sh('ls /var/lib/tts/ca; ls -d /etc/certcache /var/lib/certcache || true')).toMatch(
      /key\.pem[^]*cannot access '\/etc\/certcache'[^]*cannot access '\/var\/lib\/certcache'/,
    )
    // Installed anew, it goes on with the same CA.
    await sh('apt-get install -y ./tts_*.deb')
    expect(await sh('tts ca show')).toContain('subject')
    expect(await sh('TTS_PURGE_DATA=yes apt-get purge -y tts')).not.toContain(kept)
    expect((await machine.sh('ls -d /var/lib/tts')).code).toBe(2)
  }, 120_000)
})

if (reason !== undefined)
  test.skipIf(!isRequired)(`NOT RUN: packages in an empty Debian: ${reason}`, () => {
    expect(reason).toBeUndefined()
  })
