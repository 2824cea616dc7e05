/** caNl-Java and the Java VOMS client, which judge all credentials in one Java process: each start takes a second. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RelyingParty } from '../../../ca/doctor/relying-parties.ts'
import { findProgram } from '../grid-tools.ts'
import type { Party, PatientFiles, Refusal } from './party.ts'

const source = fileURLToPath(new URL('../java/JudgeCredentials.java', import.meta.url))
const jars = ['voms-clients', 'voms-api-java', 'canl', 'bcpkix', 'bcprov', 'commons-cli']
const classPath = [...jars, 'commons-io', 'bcutil'].map((name) => `/usr/share/java/${name}.jar`)

async function judge(name: string, patients: readonly PatientFiles[]): Promise<readonly Refusal[]> {
  const child = spawn(findProgram('java') ?? '', ['-cp', classPath.join(':'), source], {
    env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', LC_ALL: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  let output = ''
  let messages = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (messages += chunk.toString()))
  child.stdin.end(
    patients
      .map(({ proxyPath, trustAnchorDir, directory }) =>
        [name, proxyPath, trustAnchorDir, join(directory, 'java-derived')].join('\t'),
      )
      .join('\n'),
  )
  await once(child, 'close')
  const answers = output.trim().split('\n')
  if (answers.length !== patients.length)
    throw new Error(`${answers.length} answers for ${patients.length} credentials: ${messages}`)
  return answers.map((answer) =>
    answer === 'accepted' ? undefined : Buffer.from(answer.slice(8), 'base64').toString(),
  )
}

const javaParty = (name: RelyingParty): Party => ({
  name,
  packages: ['voms-clients-java', 'default-jdk-headless'],
  judge: (patients) => judge(name, patients),
})

export const canlJavaParty = javaParty('caNl-Java')
export const vomsJavaParty = javaParty('VOMS Java')
