/** The operations of the service. */
import type {
  Credential,
  CredentialPage,
  CredentialRevocation,
  Delegation,
  DelegationDetails,
  DelegationPage,
  DelegationRevocation,
  NewDelegation,
  ProxyParameters,
} from './api-types.ts'
import {
  type ApiAnswer,
  type ApiRequest,
  type ClientOptions,
  connect,
  parseJson,
} from './connection.ts'
import { makeKeyAndRequest } from './csr.ts'
import { TtsClientError, TtsForeignAnswer } from './errors.ts'
import type { KeyType } from './key-type.ts'
import { proxyFileOf } from './proxy-file.ts'

/** What a proxy shall be like. Without a value, the service decides. */
export interface ProxyOptions {
  readonly lifetimeSeconds?: number
  readonly type?: ProxyParameters['proxy_type']
  /** How many further proxies may be delegated from it. */
  readonly pathLength?: number
  /** Kind of the key, which is made here; default `rsa-2048`. */
  readonly keyType?: KeyType
  /** VOMS attributes, for example `cms:/cms/Role=production`. */
  readonly voms?: string
  /** Id of the service, if not `proxy`. */
  readonly service?: string
}

/** A proxy with its key. */
export interface Proxy {
  /** The file: proxy, private key, EEC and the certificates above it. */
  readonly pem: string
  readonly credentialId: string
  readonly notAfter: Date
  /** Why some relying party is known to refuse it. */
  readonly warning: string | undefined
  /** Until when its delegation renews; only of renewals. */
  readonly renewsUntil: Date | undefined
}

/** A page of a list. */
export interface PageOptions {
  /** From 1 to 1000; default 100. */
  readonly limit?: number
  /** `next` of the page before. */
  readonly after?: string
}

/** A delegation, as its holder knows it. */
export interface DelegationKey {
  readonly id: string
  /** Its renewal secret; without it, the access token shows who asks. */
  readonly secret?: string
}

export type TtsClient = ReturnType<typeof createClient>

/** Returns a client. It sends nothing yet. @throws {TtsClientError} the URL is not safe for a token */
export function createClient(options: ClientOptions) {
  const send = connect(options)
  return { ...proxyFunctions(send), ...credentialFunctions(send), ...delegationFunctions(send) }
}

type Send = ReturnType<typeof connect>

const get = { method: 'GET', isRepeatable: true } as const
const remove = { method: 'DELETE', isRepeatable: true } as const
const acceptJson = { accept: 'application/json' }

/** Sends a request whose answer is JSON. */
async function ask(send: Send, request: ApiRequest): Promise<object> {
  return jsonOf(await send({ ...request, headers: { ...acceptJson, ...request.headers } }))
}

const pageQuery = ({ limit, after }: PageOptions) => ({ limit: limit?.toString(), after })

const credentialPath = (id: string): string => `v1/credentials/${segmentOf(id)}`
const delegationPath = (id: string): string => `v1/delegations/${segmentOf(id)}`

/** An id as a part of a path, never as another path. */
function segmentOf(id: string): string {
  if (/^\.{0,2}$/.test(id)) throw new TtsClientError('the id is empty, or has dots only')
  return encodeURIComponent(id)
}

function proxyFunctions(send: Send) {
  return {
    /** Gets a proxy. The key is made here and never sent. */
    getProxy: (wanted: ProxyOptions = {}): Promise<Proxy> =>
      requestProxy(send, { path: 'v1/proxies', wanted }),
    /** Gets a proxy by a delegation, with no person present. The service asks the identity provider first. */
    renewProxy: async (
      { id, secret }: Required<DelegationKey>,
      wanted: ProxyOptions = {},
    ): Promise<Proxy> =>
      requestProxy(send, { path: `${delegationPath(id)}/proxies`, wanted, secret }),
  }
}

async function requestProxy(
  send: Send,
  request: { readonly path: string; readonly wanted: ProxyOptions; readonly secret?: string },
): Promise<Proxy> {
  const { path, wanted, secret } = request
  const { privateKey, csr } = await makeKeyAndRequest(wanted.keyType ?? 'rsa-2048')
  const answer = await send({
    method: 'POST',
    path,
    query: {
      proxy_type: wanted.type,
      lifetime_seconds: wanted.lifetimeSeconds?.toString(),
      path_length: wanted.pathLength?.toString(),
      voms: wanted.voms,
      service: wanted.service,
    },
    headers: { 'content-type': 'application/pkcs10', accept: 'application/x-pem-file' },
    body: csr,
    secret,
    // A further proxy does no harm.
    isRepeatable: true,
  })
  const pem = proxyFileOf(answer.body, privateKey)
  const facts = factsOf(answer)
  // `console.log` shows it without the key, which must not get into a log.
  const shown = { value: () => ({ pem: '[not shown]', ...facts }) }
  return Object.defineProperty({ pem, ...facts }, INSPECT, shown)
}

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** Which credentials, and how many on a page. */
type CredentialQuery = PageOptions & { readonly active?: boolean }

function credentialFunctions(send: Send) {
  const listCredentials = async (wanted: CredentialQuery = {}): Promise<CredentialPage> => {
    const query = { ...pageQuery(wanted), active: wanted.active?.toString() }
    const answer = await ask(send, { ...get, path: 'v1/credentials', query })
    return pageOf<CredentialPage>(answer, 'credentials')
  }
  return {
    listCredentials,
    /** All your credentials, page by page. */
    allCredentials: (wanted: CredentialQuery = {}): AsyncGenerator<Credential> =>
      follow<Credential>(async (after) => {
        const { credentials: entries, next } = await listCredentials({ ...wanted, ...after })
        return { entries, next }
      }),
    showCredential: async (id: string): Promise<Credential> =>
      (await ask(send, { ...get, path: credentialPath(id) })) as Credential,
    revokeCredential: async (id: string, reason?: string): Promise<CredentialRevocation> => {
      const request = { ...remove, path: credentialPath(id), query: { reason } }
      return (await ask(send, request)) as CredentialRevocation
    },
  }
}

function delegationFunctions(send: Send) {
  const listDelegations = async (wanted: PageOptions = {}): Promise<DelegationPage> => {
    const query = pageQuery(wanted)
    const answer = await ask(send, { ...get, path: 'v1/delegations', query })
    return pageOf<DelegationPage>(answer, 'delegations')
  }
  return {
    /**
     * Creates a delegation. Keep `renewal_secret`: it is shown only here. Not tried again when the connection breaks,
     * because the delegation may exist by then.
     */
    createDelegation: async ({
      label,
    }: { readonly label?: string } = {}): Promise<NewDelegation> => {
      const made = await ask(send, {
        method: 'POST',
        path: 'v1/delegations',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ label }),
        isRepeatable: false,
      })
      return made as NewDelegation
    },
    listDelegations,
    /** All your delegations, page by page. */
    allDelegations: (wanted: PageOptions = {}): AsyncGenerator<Delegation> =>
      follow<Delegation>(async (after) => {
        const { delegations: entries, next } = await listDelegations({ ...wanted, ...after })
        return { entries, next }
      }),
    showDelegation: async ({ id, secret }: DelegationKey): Promise<DelegationDetails> =>
      (await ask(send, { ...get, path: delegationPath(id), secret })) as DelegationDetails,
    revokeDelegation: async ({ id, secret }: DelegationKey): Promise<DelegationRevocation> =>
      (await ask(send, { ...remove, path: delegationPath(id), secret })) as DelegationRevocation,
  }
}

function pageOf<Page>(answer: object, list: keyof Page & string): Page {
  const page = answer as Readonly<Record<string, unknown>>
  if (!Array.isArray(page[list])) throw new TtsForeignAnswer(200, undefined)
  return page as Page
}

async function* follow<Entry>(
  read: (after: {
    readonly after?: string
  }) => Promise<{ readonly entries: readonly Entry[]; readonly next: string | null }>,
): AsyncGenerator<Entry> {
  let page = await read({})
  yield* page.entries
  // A service from before there were pages has no `next`.
  while (typeof page.next === 'string') {
    page = await read({ after: page.next })
    yield* page.entries
  }
}

function jsonOf({ headers, body }: ApiAnswer): object {
  const isJson = headers.get('content-type')?.startsWith('application/json') === true
  const value = isJson ? parseJson(body) : undefined
  if (typeof value !== 'object' || value === null) throw new TtsForeignAnswer(200, undefined)
  return value
}

function factsOf({ headers }: ApiAnswer): Omit<Proxy, 'pem'> {
  const end = headers.get('tts-not-after') ?? ''
  const id = headers.get('tts-credential-id')
  const until = headers.get('tts-renews-until')
  if (id === null || Number.isNaN(Date.parse(end))) throw new TtsForeignAnswer(200, undefined)
  return {
    credentialId: id,
    notAfter: new Date(end),
    warning: headers.get('tts-warning') ?? undefined,
    renewsUntil: until === null ? undefined : new Date(until),
  }
}
