/** Prints the report of a run and writes the files that were asked for. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'
import { chartSvg } from './chart.ts'
import { replaceBetweenMarkers, withMarkers } from './markdown.ts'
import type { BenchOptions } from './options.ts'
import { reportText } from './report.ts'
import type { Results } from './results.ts'

type Files = Pick<BenchOptions, 'json' | 'markdown' | 'chart' | 'flame'>

/**
 * Finds before a long run what would keep its results from being written.
 *
 * @throws Error that names the file
 */
export async function checkFiles({ json, markdown, chart, flame }: Files): Promise<void> {
  checkPlaces([json, markdown, chart, flame])
  if (markdown !== undefined) await markdownWith(markdown, '')
}

/** @throws Error that names a file whose directory is missing */
export function checkPlaces(paths: readonly (string | undefined)[]): void {
  for (const path of paths)
    if (path !== undefined && !existsSync(dirname(path)))
      throw new Error(`${path}: there is no directory ${dirname(path)}`)
}

export async function publish(results: Results, { json, markdown, chart }: Files): Promise<void> {
  const report = reportText(results)
  process.stdout.write(`\n${report}`)
  if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`)
  if (chart !== undefined) await writeFile(chart, chartSvg(results))
  if (markdown === undefined) return
  const image = chart && `![Credentials a second](${relative(dirname(markdown), chart)})\n\n`
  await writeFile(markdown, await markdownWith(markdown, `${image ?? ''}${report}`))
}

/** The text of the file with this section, or that of a new file. */
async function markdownWith(path: string, section: string): Promise<string> {
  if (!existsSync(path)) return withMarkers(section)
  try {
    return replaceBetweenMarkers(await readFile(path, 'utf8'), section)
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : ''}`, { cause: error })
  }
}
