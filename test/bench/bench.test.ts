/** One short run of the whole benchmark. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Results } from '../../bench/results.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath } from '../support/programs.ts'

async function bench(
  words: readonly string[],
): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [programPath('bench/main.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (err += text))
  const [code] = (await once(child, 'close')) as [unknown]
  return { code, out, err }
}

describeWithTools('the benchmark', ['wrk'], () => {
  const directory = mkdtempSync(join(tmpdir(), 'tts-bench-test-'))

  test('measures a scenario for a second and writes its reports', async ({ onTestFinished }) => {
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    const [json = '', markdown = '', chart = ''] = ['json', 'md', 'svg'].map((ending) =>
      join(directory, `results.${ending}`),
    )
    const quick = ['--seconds', '1', '--rounds', '1', '--identities', '2', '--csrs', '1']
    const load = ['--only', 'csr-p256-new', '--connections', '4', '--from-sources']
    const files = ['--json', json, '--markdown', markdown, '--chart', chart]
    const { code, out, err } = await bench([...quick, ...load, ...files])
    expect(err).toContain('csr-p256-new, sqlite, 0 rows, 4 connections:')
    expect(code, err).toBe(0)
    const { results, raw } = JSON.parse(readFileSync(json, 'utf8')) as Results
    expect(results).toHaveLength(1)
    const measured = results[0]?.measured
    expect(measured).toMatchObject({ failed: 0 })
    expect(measured?.succeeded).toBeGreaterThan(10)
    expect(measured?.answerBytes).toBeGreaterThan(2000)
    expect(measured?.cpuMs).toBeGreaterThan(raw['ec-p256 signature'].cpuMs)
    expect(measured?.reference?.cpuMs).toBeLessThan(measured?.cpuMs ?? 0)
    expect(out).toContain('CSR, P-256 EEC, a new token each time')
    expect(readFileSync(markdown, 'utf8')).toContain(out.trim())
    expect(readFileSync(chart, 'utf8')).toMatch(/^<svg /)
  })

  test.for([
    [
      'an option',
      ['--seconds', 'many'],
      2,
      "error: option '--seconds <number>' argument 'many' is invalid. \"many\" must be an integer from 1 to 3600.\n",
    ],
    [
      'a directory',
      ['--json', '/nonexistent/results.json'],
      1,
      'bench: /nonexistent/results.json: there is no directory /nonexistent\n',
    ],
    [
      'a file',
      ['--markdown', programPath('LICENSE')],
      1,
      `bench: ${programPath('LICENSE')}: the file has no lines <!-- bench: begin --> and <!-- bench: end -->\n`,
    ],
  ] as const)('says before it measures what is wrong with %s', async ([, words, code, err]) => {
    expect(await bench(words)).toEqual({ code, out: '', err })
  })
})
