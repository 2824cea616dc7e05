/**
 * `kill -9` of certcache, as it is compiled, while it refreshes and rotates at a provider that forgets the old
 * refresh token at once. A token that is lost is lost for good: the start token is used up and taken away, so no
 * later run could fix it.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { keyBelongsTo, parseProxyFile } from '../../ca/proxy-file.ts'
import { type OutsideWorld, startOutsideWorld } from '../certcache/outside-world.ts'
import { isFull } from '../support/full.ts'
import { programPath, runToEnd, startProgram } from '../support/programs.ts'

const KILLS = isFull ? 200 : 16
/** Side by side, each with a state of its own: one certcache alone mostly waits. */
const LANES = 4
/** After so many kills one run goes to its end, and has to renew. */
const KILLS_IN_A_ROW = 5
const SEED = Number(process.env['CERTCACHE_KILL_SEED'] ?? Date.now() % 1_000_000)

let world: OutsideWorld
beforeAll(async () => {
  world = await startOutsideWorld()
  // Never fresh for long enough: each renewal is a refresh, and each refresh a rotation.
  const rotation = { reuseRefreshToken: false, rotationGraceSeconds: 0 }
  Object.assign(world.provider.tokens, { lifetimeSeconds: 60, ...rotation })
}, 60_000)
afterAll(async () => {
  await world.end()
})

function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** One certcache of its own: its directory, and how it is run. */
class Lane {
  readonly #directory: string
  readonly #words: readonly string[]
  readonly #random: () => number
  /** How long a run to its end takes; followed, because machines are slower at times. */
  #usualMs = 0
  readonly counts = { killed: 0, ended: 0, renewed: 0 }

  constructor(name: string, seed: number) {
    this.#directory = join(world.directory, name)
    this.#random = seeded(seed)
    const config = join(this.#directory, 'certcache.yaml')
    this.#words = ['refresh', '--config', config, '--valid', '400d', '--timeout', '60']
  }

  get #main(): string {
    return programPath('src/certcache/main.ts')
  }

  /** The first refresh token; the token that it came from is taken away. */
  async begin(): Promise<void> {
    mkdirSync(this.#directory)
    const token = join(this.#directory, 'token')
    writeFileSync(token, await world.logIn(), { mode: 0o600 })
    const settings = {
      service: { url: world.serviceUrl },
      source: { kind: 'refresh', ...world.ownClient, token_file: token },
      state: { directory: join(this.#directory, 'state') },
      proxies: { gwms_proxy: { key_type: 'ec-p256' } },
    }
    writeFileSync(join(this.#directory, 'certcache.yaml'), stringify(settings), { mode: 0o600 })
    await this.renew()
    rmSync(token)
    await this.renew()
  }

  /** Runs to the end: there is a refresh token that works, and another proxy after it. */
  async renew(): Promise<void> {
    const before = this.counts.renewed === 0 ? '' : this.#file()
    const begun = performance.now()
    const { code, err } = await runToEnd(this.#main, this.#words, { cwd: this.#directory })
    expect(code, err).toBe(0)
    this.#usualMs = performance.now() - begun
    this.counts.renewed += 1
    this.expectWholeProxy()
    expect(this.#file()).not.toBe(before)
  }

  /** From where the program is loaded and a helper starts, to where it has just ended. */
  async kill(): Promise<void> {
    const delayMs = this.#usualMs * (0.4 + 0.65 * this.#random())
    const started = startProgram(this.#main, this.#words, { cwd: this.#directory })
    await Promise.race([sleep(delayMs), started.ended])
    started.child.kill('SIGKILL')
    const end = await started.ended
    expect(['SIGKILL', 0], started.stderr()).toContain(end)
    this.counts[end === 'SIGKILL' ? 'killed' : 'ended'] += 1
    this.expectWholeProxy()
  }

  expectWholeProxy(): void {
    const { privateKey, certificates } = parseProxyFile(this.#file())
    const [proxy] = certificates
    expect(privateKey && proxy && keyBelongsTo(privateKey, proxy)).toBe(true)
    expect(certificates.length).toBeGreaterThan(1)
  }

  #file(): string {
    return readFileSync(join(this.#directory, 'state/gwms_proxy'), 'utf8')
  }
}

test(
  `${KILLS} kills lose neither the refresh token nor the proxy`,
  { timeout: 1_800_000 },
  async () => {
    process.stdout.write(`CERTCACHE_KILL_SEED=${SEED}\n`)
    const lanes = Array.from({ length: LANES }, (_, index) => new Lane(`c${index}`, SEED + index))
    const asked = async (lane: Lane): Promise<void> => {
      await lane.begin()
      while (lane.counts.killed < KILLS / LANES) {
        for (let row = 0; row < KILLS_IN_A_ROW; row += 1) await lane.kill()
        await lane.renew()
      }
    }
    await Promise.all(lanes.map(asked))
    const sum = (of: keyof Lane['counts']): number =>
      lanes.reduce((total, { counts }) => total + counts[of], 0)
    // Each lane begins with an exchange; each further run to the end is a refresh.
    const ofKilled = world.asked().token - sum('renewed')
    process.stdout.write(
      `${sum('killed')} killed, ${sum('ended')} ended before; ${ofKilled} of them had asked the provider\n`,
    )
    // Else the kills came before there was anything to lose.
    expect(ofKilled).toBeGreaterThanOrEqual(KILLS / 4)
  },
)
