/** The roles for Ansible: by ansible-lint, and run in an empty Debian with a systemd of its own. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
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
import { installPythonPackages, PYTHON } from '../support/python-packages.ts'

const run = promisify(execFile)
const isRequired = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
const LINT = 'ansible-lint==26.10.1'
const ansible = await installPythonPackages([LINT])
const reason = 'missing' in ansible ? ansible.missing : noDebianMachine()
const directories = 'missing' in ansible ? '' : ansible.directory

/** Programs of the sources that are needed besides ours. */
const DEMO = `#!/bin/sh
exec /opt/sources/node_modules/.bin/node /opt/sources/demo/main.ts "$@"
`

if (reason !== undefined)
  test.skipIf(!isRequired)(`NOT RUN: the roles for Ansible: ${reason}`, () => {
    expect(reason).toBeUndefined()
  })
else
  describe(`the roles for Ansible [${LINT.replace('==', ' ')}]`, () => {
    let machine: DebianMachine
    let directory = ''
    const sh = async (script: string): Promise<string> => machine.outputOf(script)
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'tts-ansible-'))
      const packages = join(directory, 'packages')
      const words = ['--only', 'debian', '--fast', '--out', packages]
      await run(process.execPath, [programPath('scripts/packages/main.ts'), ...words])
      machine = await startDebianMachine({
        '/opt/sources': programPath('.'),
        '/opt/ansible': directories,
      })
      const place = join(machine.directory, 'root')
      for (const name of readdirSync(packages))
        if (name.endsWith('.deb'))
          copyFileSync(join(packages, name), join(place, name.replace(/_.*/, '.deb')))
      writeFileSync(join(machine.directory, 'usr/local/bin/tts-demo'), DEMO, { mode: 0o755 })
      await sh(
        "tts-demo --provider --dir /srv/provider >/dev/null 2>&1 & timeout 60 sh -c 'until [ -s /srv/provider/token ]; do sleep 0.2; done'",
      )
    }, 480_000)
    afterAll(async () => {
      await (machine as DebianMachine | undefined)?.remove()
      rmSync(directory, { recursive: true, force: true })
    })

    test('the linter has nothing to say of them, by its strictest profile', async () => {
      const path = `${directories}/bin:/usr/bin:/bin`
      const env = { PYTHONPATH: directories, HOME: directory, PATH: path }
      const lint = async (place: string) =>
        run(
          PYTHON,
          ['-m', 'ansiblelint', '--offline', '--nocolor', '--profile', 'production', '.'],
          {
            cwd: place,
            env,
          },
        )
      const { stderr } = await lint(programPath('deploy/ansible'))
      expect(stderr).toMatch(/Passed: 0 failure\(s\), 0 warning\(s\)/)
      // And it would have.
      const broken = join(directory, 'broken')
      mkdirSync(broken)
      writeFileSync(join(broken, 'site.yaml'), '- hosts: all\n  tasks:\n    - shell: id\n')
      await expect(lint(broken)).rejects.toMatchObject({ code: 2 })
    }, 120_000)

    /** Runs the playbook of the example; returns its summary. */
    async function play(token: boolean): Promise<string> {
      const issuer = (await sh('cat /srv/provider/issuer')).trim()
      const iam = { issuer, audiences: ['https://tts.demo'] }
      const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
      const variables = {
        tts_package: '/root/tts.deb',
        tts_settings: { providers: { iam }, services: { proxy: { authz: { allow } } } },
        certcache_package: '/root/certcache.deb',
        certcache_settings: {
          service: { url: 'http://127.0.0.1:8080' },
          source: { kind: 'token', token_file: '/run/credentials/certcache.service/token' },
        },
        certcache_secrets: { note: 'a secret of nothing' },
        ...(token && { certcache_token: (await sh('cat /srv/provider/token')).trim() }),
      }
      const place = join(machine.directory, 'root')
      writeFileSync(join(place, 'variables.yaml'), stringify(variables))
      const local = { ansible_connection: 'local', ansible_python_interpreter: PYTHON }
      const group = { hosts: { machine: local } }
      writeFileSync(join(place, 'inventory.yaml'), stringify({ tts: group, certcache: group }))
      const words = ['-m', 'ansible', 'playbook', '-i', 'inventory.yaml', '-e', '@variables.yaml']
      return sh(
        `PYTHONPATH=/opt/ansible ANSIBLE_NOCOLOR=1 ${PYTHON} ${words.join(' ')} /opt/sources/deploy/ansible/site.yaml`,
      )
    }

    test('install, configure and start both; a second run changes nothing', async () => {
      expect(await play(true)).toMatch(
        /machine +: ok=\d+ +changed=[1-9]\d* +unreachable=0 +failed=0/,
      )
      expect(await sh('systemctl is-active tts certcache')).toBe('active\nactive\n')
      expect(await sh('curl -sf http://127.0.0.1:8081/get_proxy')).toContain('BEGIN CERTIFICATE')
      const again = await play(false)
      expect(again).toMatch(/machine +: ok=\d+ +changed=0 +unreachable=0 +failed=0/)
      expect(again).not.toContain('a secret of nothing')
      expect(await sh("stat -c '%U:%G %a' /etc/certcache/secrets/note /etc/tts/tts.yaml")).toBe(
        'root:root 600\nroot:tts 640\n',
      )
    }, 300_000)
  })
