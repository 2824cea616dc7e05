/**
 * A real kube-apiserver over a real etcd, with RBAC, admission and service-account tokens. There are no controllers and
 * no kubelets: nothing that is created here runs.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { sendHttp } from '../../../src/client/http-request.ts'
import { freePort } from '../../support/free-port.ts'
import { buildGoPrograms, type GoPrograms } from '../../support/go-programs.ts'
import { makePrivateCa } from '../../support/private-ca.ts'

/** The versions are in api-server/go.mod. */
export const buildApiServer = async (): Promise<GoPrograms> =>
  buildGoPrograms({
    name: 'kubernetes-api-server',
    directory: join(import.meta.dirname, 'api-server'),
    packages: ['k8s.io/kubernetes/cmd/kube-apiserver', 'go.etcd.io/etcd/server/v3'],
    leastGo: [1, 26],
    buildOptions: ['-ldflags', '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2'],
    // Ten minutes of two cores, when nothing of it is in the cache of the Go command.
    timeoutMs: 3_600_000,
  })

export type Answer = { readonly status: number; readonly body: Record<string, never> }

export interface AskOptions {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly body?: unknown
  /** Default: JSON, and a merge patch for PATCH. */
  readonly contentType?: string
  /** Default: that of a member of system:masters. */
  readonly token?: string
}

export interface ApiServer {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly environment: Readonly<Record<string, string>>
  readonly caFile: string
  ask(path: string, options?: AskOptions): Promise<Answer>
  /** Returns a token of the service account, by TokenRequest. @param audiences default: those of the API */
  tokenOf(namespace: string, account: string, audiences?: readonly string[]): Promise<string>
  stop(): Promise<void>
}

/** Starts both. @param programs directory of `buildApiServer` */
export async function startApiServer(programs: string): Promise<ApiServer> {
  const directory = mkdtempSync(join(tmpdir(), 'kubernetes-api-server-'))
  const [client, peer, port] = [await freePort(), await freePort(), await freePort()]
  const children: ChildProcess[] = []
  const output: string[] = []
  const start = (program: string, words: readonly string[]): void => {
    const child = spawn(join(programs, program), [...words], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output.push(text)
        output.splice(0, output.length - 50)
      })
    children.push(child)
  }
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  start('server', etcdOptions(directory, client, peer))
  const adminToken = randomBytes(16).toString('hex')
  const { caFile, options } = prepare(directory, adminToken)
  start('kube-apiserver', [
    ...options,
    `--etcd-servers=http://127.0.0.1:${client}`,
    `--secure-port=${port}`,
  ])
  const ca = readFileSync(caFile)
  const ask = async (path: string, request: AskOptions = {}): Promise<Answer> => {
    const { method = 'GET', body, token = adminToken } = request
    const patch = 'application/merge-patch+json'
    const { contentType = method === 'PATCH' ? patch : 'application/json' } = request
    const headers = { authorization: `Bearer ${token}`, 'content-type': contentType }
    const signal = AbortSignal.timeout(20_000)
    const connection = { secure: true, agent: false, host: '127.0.0.1', port, ca, signal } as const
    const content = body === undefined ? undefined : JSON.stringify(body)
    const answer = await sendHttp({ ...connection, method, path, headers }, content)
    return {
      status: answer.status,
      body: (/^[[{]/.test(answer.body) ? JSON.parse(answer.body) : {}) as Record<string, never>,
    }
  }
  try {
    await untilReady(ask, children)
  } catch (error) {
    await stop()
    throw new Error(`the API server did not start:\n${output.join('')}`, { cause: error })
  }
  return {
    environment: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) },
    caFile,
    ask,
    tokenOf: async (namespace, account, audiences) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`
      const body = { spec: { expirationSeconds: 600, audiences } }
      const answer = await ask(path, { method: 'POST', body })
      const { status } = answer.body as { status?: { token?: string } }
      if (status?.token === undefined) throw new Error(JSON.stringify(answer.body))
      return status.token
    },
    stop,
  }
}

function etcdOptions(directory: string, client: number, peer: number): readonly string[] {
  const [clients, peers] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`]
  return [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${clients}`,
    `--advertise-client-urls=${clients}`,
    `--listen-peer-urls=${peers}`,
    `--initial-advertise-peer-urls=${peers}`,
    `--initial-cluster=default=${peers}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ]
}

/** Makes the keys and files of the API server. */
function prepare(directory: string, adminToken: string) {
  const ca = makePrivateCa(directory)
  const { keyFile, certFile } = ca.issue('127.0.0.1')
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const tokens = join(directory, 'tokens.csv')
  const signer = join(directory, 'service-accounts.key')
  const verifier = join(directory, 'service-accounts.pub')
  writeFileSync(tokens, `${adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 })
  writeFileSync(signer, pair.privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 })
  writeFileSync(verifier, pair.publicKey.export({ type: 'spki', format: 'pem' }))
  const options = [
    '--bind-address=127.0.0.1',
    `--tls-cert-file=${certFile}`,
    `--tls-private-key-file=${keyFile}`,
    `--token-auth-file=${tokens}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${signer}`,
    `--service-account-key-file=${verifier}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--v=0',
  ]
  return { caFile: ca.file, options }
}

async function untilReady(
  ask: (path: string) => Promise<Answer>,
  children: readonly ChildProcess[],
): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (children.some(({ exitCode }) => exitCode !== null)) throw new Error('a process ended')
    const answer = await ask('/readyz').catch(() => undefined)
    if (answer?.status === 200) return
    await delay(100)
  }
  throw new Error('not ready after a minute')
}
