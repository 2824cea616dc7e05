/** The npm packages that a bundle contains, and their licences. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Directories of the packages that these modules are from. */
export function packagesOf(modules: readonly string[]): readonly string[] {
  const found = modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id) ?? [])
  return [...new Set(found)].toSorted()
}

/** Their licences, which ask to be passed on with copies of the code. */
export function licencesOf(packages: readonly string[]): string {
  return packages
    .map((path) => {
      const { name, version, license } = JSON.parse(
        readFileSync(join(path, 'package.json'), 'utf8'),
      ) as Readonly<Record<'name' | 'version' | 'license', string>>
      const texts = readdirSync(path)
        .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
        .map((file) => readFileSync(join(path, file), 'utf8').trim())
      return [`${name} ${version} (${license})`, ...texts].join('\n\n')
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`)
    .concat('\n')
}
