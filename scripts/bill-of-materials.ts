/** The Software Bill of Materials of what `scripts/build.ts` built: CycloneDX 1.6 in JSON. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library'

/** What is said of the whole. */
export interface Built {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly commit?: string
  /** As in RFC 3339. */
  readonly builtAt: string
}

export interface Contents {
  /** Directories of the npm packages whose modules are in it. */
  readonly packages: readonly string[]
  /** Path of package-lock.json, which has the digest of each package. */
  readonly lockFile: string
  /** Whether the Node that runs this is in it too, with all that it is made of. */
  readonly hasNode: boolean
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly integrity?: string }>>
}

/** Returns the JSON. The serial number follows from the content, so that a build can be repeated. */
export function billOfMaterials(built: Built, contents: Contents): string {
  const { packages: locked } = JSON.parse(readFileSync(contents.lockFile, 'utf8')) as Lock
  const { name, version } = built
  const whole = new Models.Component(Enums.ComponentType.Application, name, {
    version,
    bomRef: name,
    purl: `pkg:npm/${name}@${version}`,
    licenses: new Models.LicenseRepository([new Models.SpdxLicense(built.license)]),
    properties: new Models.PropertyRepository(
      built.commit === undefined ? [] : [new Models.Property('commit', built.commit)],
    ),
  })
  const parts = contents.packages.map((directory) => packageComponent(directory, locked))
  if (contents.hasNode) parts.push(nodeComponent())
  for (const part of parts) whole.dependencies.add(part.bomRef)
  const components = new Models.ComponentRepository(parts)
  const metadata = { component: whole, timestamp: new Date(built.builtAt) }
  const bom = new Models.Bom({ components, metadata: new Models.Metadata(metadata) })
  const identity = createHash('sha256').update(serialized(bom)).digest('hex')
  bom.serialNumber = `urn:uuid:${identity.replace(/^(.{8})(....).(...).(...)(.{12}).*/, '$1-$2-8$3-8$4-$5')}`
  return `${serialized(bom)}\n`
}

function serialized(bom: Models.Bom): string {
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)
  return new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true, space: 2 })
}

function packageComponent(directory: string, locked: Lock['packages']): Models.Component {
  const { name, version, license } = JSON.parse(
    readFileSync(join(directory, 'package.json'), 'utf8'),
  ) as Readonly<Record<'name' | 'version' | 'license', string>>
  const [, place = ''] = /\/(node_modules\/.*)$/.exec(directory) ?? []
  const [algorithm, digest = ''] = (locked[place]?.integrity ?? '').split('-')
  if (algorithm !== 'sha512') throw new Error(`package-lock.json has no digest of ${place}`)
  const hex = Buffer.from(digest, 'base64').toString('hex')
  const [, group, short = name] = /^(@[^/]+)\/(.*)$/.exec(name) ?? []
  return new Models.Component(Enums.ComponentType.Library, short, {
    ...(group !== undefined && { group }),
    version,
    bomRef: `${name}@${version}`,
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    licenses: new Models.LicenseRepository([new Models.LicenseExpression(license)]),
    hashes: new Models.HashDictionary([[Enums.HashAlgorithm['SHA-512'], hex]]),
  })
}

/** Node, and the libraries that are linked into it: OpenSSL above all. */
function nodeComponent(): Models.Component {
  const { node, modules: _modules, napi: _napi, ...libraries } = process.versions
  const inside = Object.entries(libraries).flatMap(([name, version]) =>
    version === undefined
      ? []
      : [
          new Models.Component(Enums.ComponentType.Library, name, {
            version,
            bomRef: `node/${name}@${version}`,
          }),
        ],
  )
  return new Models.Component(Enums.ComponentType.Platform, 'node', {
    version: node,
    bomRef: `node@${node}`,
    purl: `pkg:generic/node@${node}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${node}:*:*:*:*:*:*:*`,
    components: new Models.ComponentRepository(inside),
  })
}
