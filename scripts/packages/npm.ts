/** The npm package: the built programs, which need no other package. */
import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { BILL, type Workshop } from './workshop.ts'

/** `npm pack` builds `dist/` first (`prepack` in package.json) and takes what `files` there names. */
export function npmPackage({ root, out }: Workshop): void {
  const words = ['pack', '--json', '--pack-destination', out]
  const [packed] = JSON.parse(
    execFileSync('npm', words, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  ) as readonly { readonly filename: string }[]
  const file = packed?.filename ?? ''
  copyFileSync(join(root, 'dist', BILL), join(out, `${basename(file, '.tgz')}.cdx.json`))
}
