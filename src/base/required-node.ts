/**
 * Which Node runs the programs. This must work on every Node that can load ES modules, so it imports only what those
 * have.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** The oldest supported Node: the active LTS at the release. Older ones lack parts of `node:sqlite`. */
const REQUIRED_MAJOR = 24

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGINT'] as const

/**
 * Whether this Node is new enough. If not, the program is run once more by the Node that npm has installed with the
 * package, and this process does nothing but wait for it. If there is none, one clear sentence says so: an old Node
 * would otherwise fail somewhere with a stack trace.
 */
export function hasRequiredNode(program: string): boolean {
  const { version, execPath } = process
  if (Number(/^v(\d+)/.exec(version)?.[1]) >= REQUIRED_MAJOR) return true
  const node = packagedNode()
  if (node === undefined) {
    process.stderr.write(
      `${program}: needs Node.js ${REQUIRED_MAJOR} or later; this is ${version} (${execPath})\n`,
    )
    process.exitCode = 1
  } else runBy(node)
  return false
}

/** Path of the Node of the package `node-linux-…`, an optional dependency; undefined if it is not there. */
function packagedNode(): string | undefined {
  try {
    const require = createRequire(import.meta.url)
    const description = require.resolve(`node-linux-${process.arch}/package.json`)
    return join(dirname(description), 'bin/node')
  } catch {
    return undefined
  }
}

function runBy(node: string): void {
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
  for (const signal of FORWARDED)
    process.on(signal, () => {
      // A terminal sends Ctrl-C to both.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  child.on('error', (error) => {
    process.stderr.write(`${node} cannot be run: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code ?? 1
    else {
      // Ends as the program did.
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
  })
}
