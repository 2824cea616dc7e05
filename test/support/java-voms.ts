/** voms-api-java, which reads VOMS attributes for dCache, StoRM and other services in Java. */
import { fileURLToPath } from 'node:url'
import type { CredentialFiles } from './grid-site.ts'
import { runTool } from './grid-tools.ts'

const source = fileURLToPath(new URL('java/ValidateAttributes.java', import.meta.url))
const jars = ['voms-clients', 'voms-api-java', 'canl', 'bcpkix', 'bcprov', 'bcutil', 'commons-io']
const classPath = jars.map((name) => `/usr/share/java/${name}.jar`).join(':')

export const javaVomsPackages = ['voms-clients-java', 'default-jdk-headless'] as const

/** The FQANs of each proxy that hold, or `none`. One Java process for all: each start takes a second. */
export async function validFqans(
  credentials: readonly CredentialFiles[],
): Promise<readonly string[]> {
  const files = credentials.flatMap(({ proxyPath, trustAnchorDir, vomsDir = '' }) => [
    proxyPath,
    trustAnchorDir,
    vomsDir,
  ])
  const { status, output } = await runTool('java', ['-cp', classPath, source, ...files])
  const lines = output.trim().split('\n')
  if (status !== 0 || lines.length !== credentials.length) throw new Error(output)
  return lines
}
