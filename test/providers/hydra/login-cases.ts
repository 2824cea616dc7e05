/** Renewal without the person at Hydra: certcache with its own client; delegations, which Hydra does not know. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { browser } from '../../support/device-person.ts'
import type { Hydra } from '../../support/hydra.ts'
import { programPath, runToEnd, type Started, startProgram } from '../../support/programs.ts'
import { AUDIENCE } from '../../support/service.ts'
import { logIn, SECRET, useService } from './support.ts'

const program = programPath('src/certcache/main.ts')

/**
 * Nothing but the warning that so long a `--valid` renews each time, which is what these cases want. It is left out
 * when the proxy is made within the same second.
 */
const renewed = {
  code: 0,
  err: expect.stringMatching(
    /^(certcache: warning: --valid 4 days is longer than the new proxy gwms_proxy is valid [^\n]+\n)?$/,
  ) as string,
}

export function loginCases(hydra: () => Hydra): void {
  describe('certcache', () => {
    // Otherwise the access token of the login is valid for an hour more.
    const service = useService(hydra, { provider: { introspection_cache_seconds: 0 } })
    let directory: string
    const running: Started[] = []
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'certcache-hydra-'))
      const redirect = { redirect_uris: ['http://127.0.0.1/callback'] }
      await hydra().createClient('certcache', { ...redirect, audience: [AUDIENCE] })
      await hydra().createClient('certcache-other', redirect)
    })
    afterEach(() => {
      for (const { child } of running) child.kill('SIGKILL')
    })
    afterAll(() => rmSync(directory, { recursive: true, force: true }))

    const settingsOf = (client: string): Record<string, string> => {
      const path = join(directory, `${client}.json`)
      const settings = {
        service: { url: service().url },
        source: {
          issuer: hydra().issuer,
          profile: 'hydra',
          client_id: client,
          audience: AUDIENCE,
        },
        state: { directory: join(directory, client) },
        proxies: { gwms_proxy: { outputs: [{ path: join(directory, `${client}.pem`) }] } },
      }
      writeFileSync(path, JSON.stringify(settings), { mode: 0o600 })
      return { CERTCACHE_CONFIG: path }
    }
    const run = (words: readonly string[], env: Record<string, string>) =>
      runToEnd(program, words, { cwd: directory, env })
    const refresh = (env: Record<string, string>) => run(['refresh', '--valid', '96h'], env)
    const logInByBrowser = async (env: Record<string, string>) => {
      const login = startProgram(program, ['login', '--browser'], { cwd: directory, env })
      running.push(login)
      const [, url = ''] = await login.says(/^Open in a browser on this machine {3}(\S+)$/m)
      const { text } = await browser()(url)
      return { text, code: await login.ended, err: login.stderr() }
    }

    test('login by browser, renewal with rotated tokens, and its end', async () => {
      const env = settingsOf('certcache')
      const login = await logInByBrowser(env)
      expect(login).toMatchObject({ code: 0, text: expect.stringMatching(/^certcache has rec/) })
      for (const round of [1, 2])
        expect(await refresh(env), `round ${round}`).toMatchObject(renewed)
      await hydra().admin('DELETE', '/oauth2/auth/sessions/consent?subject=alice&all=true')
      expect(await refresh(env)).toMatchObject({
        code: 3,
        err: expect.stringContaining('does not accept the refresh token any more') as string,
      })
    })

    test('a client without the audience: its login is refused', async () => {
      const { code, err } = await logInByBrowser(settingsOf('certcache-other'))
      expect(code).toBe(3)
      expect(err).toContain('does not issue tokens for the requested audience')
      expect(err).toContain('add the audience to the list `audience` of our client')
    })

    test('without --browser: Hydra has no device codes', async () => {
      expect(await run(['login'], settingsOf('certcache'))).toMatchObject({
        code: 3,
        err: expect.stringContaining('Log in with `certcache login --browser`') as string,
      })
    })
  })

  describe('delegations', () => {
    const service = useService(hydra, {
      provider: {
        client_id: 'delegating',
        client_secret: SECRET,
        client_authentication: 'basic',
        delegation: {},
      },
    })
    beforeAll(async () => {
      await hydra().createClient('delegating', {
        client_secret: SECRET,
        token_endpoint_auth_method: 'client_secret_basic',
        audience: [AUDIENCE],
      })
    })

    test('are refused: Hydra has no token exchange', async () => {
      const { access_token } = await logIn(hydra())
      const response = await fetch(`${service().url}/v1/delegations`, {
        method: 'POST',
        headers: { authorization: `Bearer ${access_token}` },
      })
      expect(await response.json()).toMatchObject({ status: 403, check: 'grant_not_enabled' })
    })
  })
}
