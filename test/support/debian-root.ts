/** A directory with programs of another Debian release, for software that the release of this machine does not have. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { missingPackages } from './grid-tools.ts'

/** Downloads 70 MB; without the network 25 seconds on two cores. */
const MAKE_TIMEOUT_MS = 300_000
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const cache = join(import.meta.dirname, '../../node_modules/.cache')

export interface DebianRootRequest {
  readonly release: string
  /** Packages besides the essential ones; their dependencies come along. */
  readonly packages: readonly string[]
}

/** The directory, or why there is none; `isFault`: it should be there on a machine that is set up for all tests. */
export type DebianRoot =
  { readonly directory: string } | { readonly missing: string; readonly isFault: boolean }

const run = promisify(execFile)

/**
 * Returns the directory of the cache. The first call on a machine makes it with debootstrap, from the mirror that apt
 * uses. The packages are unpacked and not configured, so none of their scripts runs. Never throws.
 */
export async function makeDebianRoot(request: DebianRootRequest): Promise<DebianRoot> {
  const key = createHash('sha256')
    .update(JSON.stringify([request, accounts]))
    .digest('hex')
  const directory = join(cache, `debian-${request.release}-${key.slice(0, 12)}`)
  const packages = missingPackages(['debootstrap', 'bubblewrap'])
  if (packages.length > 0)
    return { missing: `Debian package missing: ${packages.join(' ')}`, isFault: true }
  if (process.getuid?.() !== 0)
    return { missing: 'only root can run programs of another Debian release', isFault: false }
  if (existsSync(directory)) return { directory }
  try {
    const mirror = await findMirror()
    if (mirror === undefined)
      return { missing: 'apt knows no mirror of Debian on this machine', isFault: false }
    await mkdir(cache, { recursive: true })
    const work = await mkdtemp(join(cache, 'debian-making-'))
    try {
      await unpackInto(join(work, 'root'), { ...request, mirror })
      // Another run may have finished the same work first.
      await rename(join(work, 'root'), directory).catch((error: unknown) => {
        if (!existsSync(directory)) throw error
      })
    } finally {
      await rm(work, { recursive: true, force: true })
    }
    return { directory }
  } catch (error) {
    return { missing: `the Debian root cannot be made: ${reasonOf(error)}`, isFault: true }
  }
}

/** The mirror of Debian in the configuration of apt. */
export async function findMirror(): Promise<string | undefined> {
  const format = '$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)'
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    format,
    'Created-By: Packages',
  ])
  const main = stdout
    .split('\n')
    .map((line) => /^Debian main (\S+) (\S+)$/.exec(line))
    .find((found) => found !== null && !found[1]?.includes('-'))
  return main?.[2]
}

/** Names that programs look up. There is no network but loopback. */
const accounts: Readonly<Record<string, string>> = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n',
  group: 'root:x:0:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
}

async function unpackInto(
  root: string,
  { release, packages, mirror }: DebianRootRequest & { readonly mirror: string },
): Promise<void> {
  const options = { timeout: MAKE_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 }
  const verified = ['--force-check-gpg', `--keyring=${KEYRING}`]
  const chosen = ['--variant=minbase', '--components=main', `--include=${packages.join(',')}`]
  // The first stage: unpacks the essential packages, downloads the others, runs nothing of either.
  await run('debootstrap', ['--foreign', ...verified, ...chosen, release, root, mirror], options)
  const archives = join(root, 'var/cache/apt/archives')
  const packed = (await readdir(archives)).filter((name) => name.endsWith('.deb'))
  const unpack = async (names: readonly string[]): Promise<void> => {
    for (const name of names) await run('dpkg-deb', ['-x', join(archives, name), root], options)
  }
  const half = packed.length / 2
  await Promise.all([unpack(packed.slice(0, half)), unpack(packed.slice(half))])
  for (const unused of [
    'var/cache/apt',
    'var/lib/apt',
    'debootstrap',
    'usr/share/doc',
    'usr/share/locale',
  ])
    await rm(join(root, unused), { recursive: true, force: true })
  for (const [name, text] of Object.entries(accounts))
    await writeFile(join(root, 'etc', name), text)
}

/** One line: what debootstrap said of its failure, otherwise the message. */
export function reasonOf(error: unknown): string {
  const output = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
  const reason = /^[EW]: .*$/m.exec(output)?.[0] ?? String(error)
  return reason.replaceAll(/\s+/g, ' ').trim()
}
