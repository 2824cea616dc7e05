/** The Debian packages `tts` and `certcache`: each has the programs, the Node that runs them, and its systemd units. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { env } from 'node:process'
import { gzipSync } from 'node:zlib'
import { type Shell, completionFileName, shells } from '../../src/cli/completion/shells.ts'
import { BILL, type Workshop } from './workshop.ts'

interface Package {
  readonly name: 'tts' | 'certcache'
  /** Options of Node, as in docs/operations.md. */
  readonly nodeOptions: readonly string[]
  readonly units: readonly string[]
  readonly examples: readonly string[]
}

const packages: readonly Package[] = [
  {
    name: 'tts',
    nodeOptions: ['--max-semi-space-size=32', '--min-semi-space-size=16'],
    units: ['tts.service'],
    examples: [
      'nginx/tts.conf',
      'haproxy/haproxy.cfg',
      'prometheus/tts.rules.yaml',
      'grafana/tts.json',
    ],
  },
  {
    name: 'certcache',
    nodeOptions: [],
    units: ['certcache.service'],
    examples: [
      'systemd/certcache-refresh.service',
      'systemd/certcache-refresh.timer',
      'cron/certcache',
      'worker/get-proxy.sh',
      'prometheus/certcache.rules.yaml',
      'grafana/certcache.json',
    ],
  },
]

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** Makes both with dpkg-deb. @throws {Error} if it is missing, or on another kind of machine */
export function debianPackages(shop: Workshop): void {
  const architecture = architectures[process.arch]
  if (architecture === undefined) throw new Error(`there is no Debian package for ${process.arch}`)
  const { version } = JSON.parse(readFileSync(join(shop.dist, 'package.json'), 'utf8')) as {
    version: string
  }
  const manuals = join(shop.work, 'manuals')
  execFileSync(shop.node, [join(shop.root, 'scripts/write-man-pages.ts'), manuals])
  for (const one of packages) {
    const tree = join(shop.work, one.name)
    fill(tree, one, shop)
    addManuals(tree, one.name, manuals)
    const control = controlOf(one.name, {
      version,
      architecture,
      kilobytes: kilobytesOf(tree),
      shop,
    })
    put(join(tree, 'DEBIAN/control'), control)
    const file = `${one.name}_${version}_${architecture}`
    execFileSync('dpkg-deb', [
      '--root-owner-group',
      shop.isFast ? '-Zgzip' : '-Zxz',
      shop.isFast ? '-z1' : '-z6',
      '--build',
      tree,
      join(shop.out, `${file}.deb`),
    ])
    copyFileSync(join(shop.dist, BILL), join(shop.out, `${file}.cdx.json`))
  }
}

/** Puts all files into the tree, in their places. */
function fill(tree: string, { name, nodeOptions, units, examples }: Package, shop: Workshop): void {
  const { root, dist, node } = shop
  const library = join(tree, 'usr/lib', name)
  const documents = join(tree, 'usr/share/doc', name)
  cpSync(dist, library, { recursive: true, filter: (path) => !path.endsWith('.map') })
  copyFileSync(node, join(library, 'node'))
  chmodSync(join(library, 'node'), 0o755)
  const words = [`/usr/lib/${name}/node`, ...nodeOptions, `/usr/lib/${name}/${name}.js`]
  put(join(tree, 'usr/bin', name), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`, 0o755)
  const from = (path: string): string => readFileSync(join(root, path), 'utf8')
  for (const unit of units)
    put(join(tree, 'usr/lib/systemd/system', unit), from(`deploy/systemd/${unit}`))
  for (const example of examples)
    put(join(documents, 'examples', example.split('/').at(-1) ?? ''), from(`deploy/${example}`))
  put(join(tree, 'etc', name, `${name}.yaml`), from(`deploy/debian/${name}/${name}.yaml`))
  put(
    join(documents, 'copyright'),
    `${from('LICENSE')}\n${readFileSync(join(node, '../../LICENSE'), 'utf8')}`,
  )
  put(join(documents, 'changelog.gz'), gzipSync(from('CHANGELOG.md'), { level: 9 }))
  put(join(tree, 'DEBIAN/conffiles'), `/etc/${name}/${name}.yaml\n`)
  for (const script of ['postinst', 'prerm', 'postrm'])
    put(join(tree, 'DEBIAN', script), from(`deploy/debian/${name}/${script}`), 0o755)
}

/** Where Debian's shells look for completions of packages. */
const completionDirectories: Readonly<Record<Shell, string>> = {
  bash: 'usr/share/bash-completion/completions',
  zsh: 'usr/share/zsh/vendor-completions',
  fish: 'usr/share/fish/vendor_completions.d',
}

/** Man pages and completions. */
function addManuals(tree: string, name: string, manuals: string): void {
  const pages = readdirSync(join(manuals, 'man1')).filter((page) =>
    new RegExp(`^${name}[-.]`).test(page),
  )
  for (const page of pages)
    put(
      join(tree, 'usr/share/man/man1', `${page}.gz`),
      gzipSync(readFileSync(join(manuals, 'man1', page)), { level: 9 }),
    )
  for (const shell of shells) {
    const file = completionFileName(shell, name)
    const completion = readFileSync(join(manuals, shell, file))
    put(join(tree, completionDirectories[shell], file), completion)
  }
}

/** Writes a file that all may read, and the directories above it. */
function put(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  writeFileSync(path, content)
  chmodSync(path, mode)
}

function controlOf(
  name: string,
  facts: {
    readonly version: string
    readonly architecture: string
    readonly kilobytes: number
    readonly shop: Workshop
  },
): string {
  const { DEBFULLNAME: person = 'The developers of the service', DEBEMAIL: mail = 'tts@invalid' } =
    env
  return [
    `Package: ${name}`,
    `Version: ${facts.version}`,
    `Architecture: ${facts.architecture}`,
    `Maintainer: ${person} <${mail}>`,
    `Installed-Size: ${facts.kilobytes}`,
    readFileSync(join(facts.shop.root, `deploy/debian/${name}/control`), 'utf8'),
  ].join('\n')
}

function kilobytesOf(tree: string): number {
  const sizes = readdirSync(tree, { recursive: true, encoding: 'utf8' })
    .map((path) => statSync(join(tree, path)))
    .map((found) => (found.isFile() ? Math.ceil(found.size / 1024) : 1))
  return sizes.reduce((sum, size) => sum + size, 0)
}
