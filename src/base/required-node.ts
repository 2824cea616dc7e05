/** The oldest Node that runs this program: the active LTS of the day of its release. Older ones have no `node:sqlite` that we use. */
const REQUIRED_MAJOR = 24

/** Ends the process with one sentence on an older Node, which would else fail somewhere with a stack trace. */
export function requireNode(program: string): void {
  const { version, execPath } = process
  if (Number(/^v(\d+)/.exec(version)?.[1]) >= REQUIRED_MAJOR) return
  process.stderr.write(
    `${program}: needs Node.js ${REQUIRED_MAJOR} or later, and this is ${version} (${execPath})\n`,
  )
  process.exit(1)
}
