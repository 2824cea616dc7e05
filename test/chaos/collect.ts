/** What is looked at when the load has ended: databases, CRLs, refresh tokens, files and logs. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { readCrl } from '../../ca/crl.ts'
import { ask } from '../support/postgres.ts'
import type { Evidence, Holder, RecordedRows, Recovery, SeenFile } from './evidence.ts'
import { send } from './http.ts'
import type { Findings } from './invariants.ts'
import type { LoadContext } from './load/client.ts'
import { type HeldDelegation, heldAtEnd } from './load/delegations.ts'
import type { ChaosSystem } from './system.ts'

export interface Ended {
  readonly context: LoadContext
  readonly delegations: readonly HeldDelegation[]
  readonly recoveries: readonly Recovery[]
}

/** Asks everybody one last time; nothing is broken any more. */
export async function collectFindings(ended: Ended): Promise<Findings> {
  const { context, delegations, recoveries } = ended
  const { system, evidence } = context
  const [ofDelegations, ofCertcaches] = await Promise.all([
    Promise.all(delegations.map(async (held) => heldAtEnd(context, held))),
    certcacheHolders(context),
  ])
  return {
    ...evidence,
    recoveries,
    holders: [...ofDelegations, ...ofCertcaches],
    crls: await newestCrls(system),
    records: {
      replicas: await recordsOfReplicas(system),
      single: recordsOfSingle(system),
    },
    files: [...evidence.files, ...privateFiles(system)],
    secretsInLogs: await secretsInLogs(system, evidence),
  }
}

/** The proxy that is there, and one that was renewed since: the provider took the refresh token. */
async function certcacheHolders({ system }: LoadContext): Promise<readonly Holder[]> {
  return Promise.all(
    system.certcaches.map(async ({ name, target }) => {
      const seen = new Set<string>()
      const end = performance.now() + 90_000
      let detail = ''
      while (seen.size < 2 && performance.now() < end) {
        const answer = await send(target, '/get_proxy').catch(() => undefined)
        if (answer?.status === 200) seen.add(answer.body)
        else detail = `${answer?.status} ${answer?.body}`
        await sleep(500)
      }
      return { name, accepted: seen.size >= 2, endedOnPurpose: false, detail }
    }),
  )
}

const QUERIES = {
  credentials: 'select id as value from credentials',
  certificates: 'select serial as value from certificates',
  audited: 'select credential_id as value from audit where credential_id is not null',
} as const

async function recordsOfReplicas({ pair }: ChaosSystem): Promise<RecordedRows> {
  const column = async (sql: string): Promise<ReadonlySet<string>> =>
    setOf(await ask(pair.first.url('tts'), sql))
  return {
    credentials: await column(QUERIES.credentials),
    certificates: await column(QUERIES.certificates),
    audited: await column(QUERIES.audited),
  }
}

function recordsOfSingle({ singleData }: ChaosSystem): RecordedRows {
  const database = new DatabaseSync(join(singleData, 'tts.db'), { readOnly: true })
  try {
    const column = (sql: string): ReadonlySet<string> => setOf(database.prepare(sql).all())
    return {
      credentials: column(QUERIES.credentials),
      certificates: column(QUERIES.certificates),
      audited: column(QUERIES.audited),
    }
  } finally {
    database.close()
  }
}

const setOf = (rows: readonly unknown[]): ReadonlySet<string> =>
  new Set(rows.map((row) => (row as { readonly value: string }).value))

/** Of each replica: any of them may be asked by a relying party. */
async function newestCrls({ replicas, targets }: ChaosSystem): Promise<Findings['crls']> {
  // A replica remembers a CRL for a second.
  await sleep(1500)
  return {
    replicas: await Promise.all(replicas.all.map(async ({ url }) => crlOf(url))),
    single: [await crlOf(targets.single.url)],
  }
}

async function crlOf(url: string): Promise<ReadonlySet<string>> {
  const answer = await fetch(`${url}/ca/crl.der`, { signal: AbortSignal.timeout(20_000) })
  return new Set(readCrl(Buffer.from(await answer.arrayBuffer())).revoked.keys())
}

/** Certificates, and the name of the database. */
const PUBLIC = /\/(ca\.pem|ca\.csr|haproxy\.pem|database-id)$/

/** Everything that services and certcaches keep, but for what is public. */
function privateFiles({ replicas, singleData, disks }: ChaosSystem): readonly SeenFile[] {
  const roots = [...replicas.all.map(({ data }) => data), singleData, disks.certcaches]
  return roots.flatMap((root) => filesIn(root)).filter(({ path }) => !PUBLIC.test(path))
}

function filesIn(directory: string): readonly SeenFile[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const path = join(directory, name)
    const status = lstatSync(path, { throwIfNoEntry: false })
    if (status === undefined || !status.isFile()) return []
    return [{ path, mode: status.mode & 0o777, problem: problemIn(path) }]
  })
}

/** A PEM file must have the end of each block that it begins. */
function problemIn(path: string): string | undefined {
  if (!/key|proxy|secret|sealed/.test(path)) return undefined
  const text = readFileSync(path, 'latin1')
  if (text === '') return 'it is empty'
  const count = (word: string): number => text.split(word).length - 1
  return count('-----BEGIN ') === count('-----END ')
    ? undefined
    : 'it ends in the middle of a block'
}

/** JWTs and keys by their form; refresh tokens, renewal and client secrets by their value. */
async function secretsInLogs(system: ChaosSystem, evidence: Evidence): Promise<readonly string[]> {
  const { given, provider } = system.watched
  const { tts, certcache } = provider.clients
  const secrets = new Set([...given, ...evidence.secrets, tts.clientSecret, certcache.clientSecret])
  const found: string[] = []
  for (const name of readdirSync(system.machine.logs)) {
    const lines = createInterface({ input: createReadStream(join(system.machine.logs, name)) })
    let number = 0
    for await (const line of lines) {
      number += 1
      const kind = secretIn(line, secrets)
      if (kind !== undefined) found.push(`${name}, line ${number}: ${kind}`)
    }
  }
  return found
}

/** The kind of secret that a line of a log has; undefined: none. */
export function secretIn(line: string, secrets: ReadonlySet<string>): string | undefined {
  if (line.includes('PRIVATE KEY')) return 'a private key'
  if (/eyJ[\w-]+\.eyJ[\w-]+\.[\w-]/.test(line)) return 'a token'
  const words = line.match(/[\w-]{20,}/g) ?? []
  return words.some((word) => secrets.has(word)) ? 'a refresh token or secret' : undefined
}
