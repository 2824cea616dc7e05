/** Builds the programs of the peers from the Go module proxy, once for a checkout. Nothing of theirs is committed. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { goProblem } from '../../test/support/go.ts'
import type { Peer } from './peer.ts'

/** Path of the program, or why there is none. */
export type PeerProgram = { readonly program: string } | { readonly missing: string }

const cache = join(import.meta.dirname, '../../node_modules/.cache/bench-peers')
/** A few minutes on two cores. */
const BUILD_TIMEOUT_MS = 1_800_000

export async function installPeer(peer: Peer): Promise<PeerProgram> {
  const { name, goPackage, version } = peer
  const program = join(cache, `${name}-${version}`)
  if (existsSync(program)) return { program }
  const problem = await goProblem(name, peer.leastGo)
  if (problem !== undefined) return { missing: problem }
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, `${name}-building-`))
  try {
    const words = ['install', '-trimpath', '-ldflags', '-s -w', `${goPackage}@${version}`]
    const go = { GOBIN: directory, CGO_ENABLED: '0', GOWORK: 'off', GOTOOLCHAIN: 'local' }
    await promisify(execFile)('go', words, {
      cwd: directory,
      env: { ...process.env, ...go },
      timeout: BUILD_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    })
    await rename(join(directory, basename(goPackage)), program)
    return { program }
  } catch (error) {
    return { missing: `${name} cannot be built: ${String(error).slice(0, 500)}` }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
