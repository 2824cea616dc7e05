/** Whether this machine can build programs in Go. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export type GoVersion = readonly [major: number, minor: number]

/** Returns why `who` cannot be built with the Go in PATH; undefined: it can. */
export async function goProblem(who: string, least: GoVersion): Promise<string | undefined> {
  const wanted = `Go ${least.join('.')} or later`
  const version = await goVersion()
  if (version === undefined) return `${who} needs ${wanted}, which is missing`
  const [, major = '0', minor = '0'] = /^go(\d+)\.(\d+)/.exec(version) ?? []
  const isOld = Number(major) < least[0] || (Number(major) === least[0] && Number(minor) < least[1])
  return isOld ? `${who} needs ${wanted}; \`go\` is ${version}` : undefined
}

async function goVersion(): Promise<string | undefined> {
  try {
    // A directory without go.mod: there, Go says its own version.
    const options = { timeout: 30_000, cwd: '/', env: { ...process.env, GOTOOLCHAIN: 'local' } }
    return (await promisify(execFile)('go', ['env', 'GOVERSION'], options)).stdout.trim()
  } catch {
    return undefined
  }
}
