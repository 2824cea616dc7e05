/** The oldest supported Node: the active LTS at the release. Older ones lack parts of `node:sqlite`. */
const REQUIRED_MAJOR = 24

/** Exits with one clear sentence on an older Node, which would otherwise fail somewhere with a stack trace. */
export function requireNode(program: string): void {
  const { version, execPath } = process
  if (Number(/^v(\d+)/.exec(version)?.[1]) >= REQUIRED_MAJOR) return
  process.stderr.write(
    `${program}: needs Node.js ${REQUIRED_MAJOR} or later; this is ${version} (${execPath})\n`,
  )
  process.exit(1)
}
