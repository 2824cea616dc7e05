/** Runs wrk, a load generator in C: it sends prepared requests from a file, so that it is not what limits the rate. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

export interface Load {
  /** Scheme, host and port. The paths are in the requests. */
  readonly url: string
  /** Written by `writeRequests`. */
  readonly requestsFile: string
  readonly connections: number
  readonly seconds: number
  /** False: each request is sent once at most, and wrk fails if there are too few. */
  readonly mayRepeat: boolean
  /**
   * Answers with another status count as failed. Undefined: those from 400 on count, and wrk need not read the answers,
   * which matters at tens of thousands a second.
   */
  readonly expectedStatus?: number | undefined
}

export interface LoadResult {
  /** Answers as expected. */
  readonly succeeded: number
  /** Other answers, broken connections and timeouts. */
  readonly failed: number
  /** Status and start of the first answer that was not as expected. */
  readonly firstFailure: string | undefined
  readonly seconds: number
  readonly perSecond: number
  /** Of an answer with its head, on average. */
  readonly answerBytes: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
}

const WRK = '/usr/bin/wrk'
const script = fileURLToPath(new URL('./requests.lua', import.meta.url))
/** Later answers count as failed. */
const ANSWER_TIMEOUT_SECONDS = 20

/** The Debian package that is missing, or undefined. */
export const missingWrkPackage = existsSync(WRK) ? undefined : 'wrk'

/** Fewer requests were prepared than the target answered. */
export class RequestsRanOut extends Error {}

/** That of `requests.lua`. */
const RAN_OUT = 3

/**
 * Runs one load to its end.
 *
 * @throws Error when wrk fails; RequestsRanOut
 */
export async function runWrk(load: Load): Promise<LoadResult> {
  const threads = Math.min(load.connections, availableParallelism() > 4 ? 2 : 1)
  const words = [
    ['-t', threads, '-c', load.connections, '-d', `${load.seconds}s`],
    ['--timeout', `${ANSWER_TIMEOUT_SECONDS}s`, '-s', script, load.url, '--'],
    [load.requestsFile, threads, load.mayRepeat ? 'again' : 'once', load.expectedStatus ?? 'any'],
  ]
  const output = await new Promise<string>((resolve, reject) => {
    execFile(WRK, words.flat().map(String), (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else if (error.code === RAN_OUT) reject(new RequestsRanOut(stderr.trim()))
      else reject(new Error(`wrk failed: ${stderr.trim() || error.message}`))
    })
  })
  return parseWrkOutput(output)
}

/** Reads the lines that `requests.lua` prints at the end. */
export function parseWrkOutput(output: string): LoadResult {
  const line = /^bench-result (.*)$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`wrk printed no result:\n${output}`)
  const values = new Map(line.split(' ').map((field) => field.split('=') as [string, string]))
  const number = (name: string): number => Number(values.get(name) ?? Number.NaN)
  const requests = number('requests')
  const wrong = Math.max(number('wrong'), number('status'))
  const succeeded = requests - wrong
  const seconds = number('microseconds') / 1e6
  return {
    succeeded,
    failed: wrong + number('socket') + number('timeout'),
    firstFailure: /^bench-failure (.*)$/m.exec(output)?.[1],
    seconds,
    perSecond: succeeded / seconds,
    answerBytes: Math.round(number('bytes') / requests),
    p50Ms: number('p50') / 1000,
    p99Ms: number('p99') / 1000,
    p999Ms: number('p99.9') / 1000,
  }
}
