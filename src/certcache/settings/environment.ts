/**
 * The environment variables of the old DODAS ttscache. Each sets its present key, or a message says what to use
 * instead. The settings file and CERTCACHE_… variables override them.
 */
import { join } from 'node:path'
import { type Environment, isTree, setByName, type Tree } from '../../config/settings-tree.ts'

/** The result of the old variables. The texts contain no values that may be secret. */
export interface OldNames {
  /** Variables that set a key. */
  readonly used: readonly string[]
  /** For the log: ignored variables, and why. */
  readonly notes: readonly string[]
  /** Errors that prevent the start. */
  readonly problems: readonly string[]
  /** CACHE_MANAGER, if it names a storage that there is no more, and no other one is set. */
  readonly missingStorage: string | undefined
}

/** An old variable that sets one key. */
interface Renamed {
  /** The key, for example `source.token`. */
  readonly key: string
  /** Equivalent keys. If one of them is set, the old variable is ignored. */
  readonly equivalents?: readonly string[]
  /** Converts the value to the present format; undefined if it is invalid. */
  readonly convert?: (value: string) => string | undefined
  /** What the value must be; completes "must be …". */
  readonly expected?: string
}

/** The order matters: PROXY_TTS overrides PROXY_CREDENTIAL_ENDPOINT. */
const renamed: Readonly<Record<string, Renamed>> = {
  IAM_TOKEN: { key: 'source.token', equivalents: ['source.token_file'] },
  IAM_CLIENT_ID: { key: 'source.client_id' },
  IAM_CLIENT_SECRET: { key: 'source.client_secret', equivalents: ['source.client_secret_file'] },
  IAM_REFRESH_TOKEN: { key: 'source.refresh_token', equivalents: ['source.refresh_token_file'] },
  PROXY_IAM_ENDPOINT: { key: 'source.issuer' },
  PROXY_TTS: { key: 'service.url' },
  PROXY_CREDENTIAL_ENDPOINT: {
    key: 'service.url',
    convert: serviceUrlOf,
    expected: 'a URL such as https://tts.example.org/api/v2/credential',
  },
  PROXY_AUDIENCE: { key: 'source.audience' },
  PROXY_LOCAL_CACHE_EXPIRATION_TIME: {
    key: 'renewal.renew_after_seconds',
    convert: (value) => (/^\d{2,8}$/.test(value) ? value : undefined),
    expected: 'a number of seconds',
  },
}

/** Old variables without effect, and why. */
const ignored: Readonly<Record<string, string>> = {
  PROXY_LOCK_FILE_AGE: 'locks do not expire; a lock ends with the process that holds it',
  ZOOKEEPER_HOST_LIST:
    'ZooKeeper is not supported; use PostgreSQL (state.url_file) for several certcaches',
  MARATHON_USER:
    'Marathon is not supported; use PostgreSQL (state.url_file) for several certcaches',
  MARATHON_PASSWD:
    'Marathon is not supported; remove the password, and use PostgreSQL (state.url_file) for several certcaches',
}

/** Sets keys that are not set yet from the old variables. Modifies `tree`. */
export function applyOldNames(tree: Tree, environment: Environment): OldNames {
  const used: string[] = []
  const notes: string[] = []
  const problems: string[] = []
  for (const [name, rule] of Object.entries(renamed)) {
    const value = environment[name]?.trim()
    if (!value) continue
    const converted = rule.convert === undefined ? value : rule.convert(value)
    const overriding = [rule.key, ...(rule.equivalents ?? [])].find(
      (key) => valueAt(tree, key) !== undefined,
    )
    if (converted === undefined) problems.push(`${name}: must be ${rule.expected}`)
    else if (overriding === undefined) {
      setByName(tree, rule.key.replaceAll('.', '__'), converted)
      used.push(name)
    } else if (!isSameText(valueAt(tree, rule.key), converted))
      notes.push(`${name} is ignored: ${overriding} is set to another value`)
  }
  for (const [name, reason] of Object.entries(ignored))
    if (environment[name]) notes.push(`${name} is ignored: ${reason}`)
  applyCacheDirectory(tree, environment, { used, notes })
  const missingStorage = checkCacheManager(tree, environment, { notes, problems })
  return { used, notes, problems, missingStorage }
}

/** PROXY_CACHE_DIR held all files: the state goes into a subdirectory, and the proxy keeps its old name in it. */
function applyCacheDirectory(
  tree: Tree,
  environment: Environment,
  { used, notes }: { readonly used: string[]; readonly notes: string[] },
): void {
  const path = environment['PROXY_CACHE_DIR']?.trim()
  if (!path) return
  const hasState = valueAt(tree, 'state.directory') !== undefined
  const hasProxies = valueAt(tree, 'proxies') !== undefined
  if (hasState && hasProxies) {
    notes.push('PROXY_CACHE_DIR is ignored: state.directory and proxies are set')
    return
  }
  used.push('PROXY_CACHE_DIR')
  if (!hasState) setByName(tree, 'state__directory', join(path, 'certcache'))
  if (!hasProxies)
    tree['proxies'] = { gwms_proxy: { outputs: [{ path: join(path, 'userproxy.pem') }] } }
}

/** CACHE_MANAGER named the storage of the refresh token. Returns the one that is missing now. */
function checkCacheManager(
  tree: Tree,
  environment: Environment,
  { notes, problems }: { readonly notes: string[]; readonly problems: string[] },
): string | undefined {
  const value = environment['CACHE_MANAGER']?.trim().toUpperCase()
  if (!value || value === 'MEMORY') return undefined
  if (!['ZOOKEEPER', 'MARATHON'].includes(value)) {
    problems.push('CACHE_MANAGER: must be MEMORY, or unset')
    return undefined
  }
  const hasUrl = ['state.url', 'state.url_file'].some((key) => valueAt(tree, key) !== undefined)
  if (!hasUrl) return value
  notes.push(`CACHE_MANAGER=${value} is ignored: the state is in PostgreSQL`)
  return undefined
}

/** Returns `https://tts.example.org` for the endpoint `https://tts.example.org/api/v2/iam/credential`. */
function serviceUrlOf(value: string): string | undefined {
  if (!URL.canParse(value)) return undefined
  const { origin, pathname } = new URL(value)
  const end = pathname.search(/\/api\/v\d/)
  return end < 0 ? undefined : `${origin}${pathname.slice(0, end)}`
}

/** Compares two texts, without a slash at the end. */
function isSameText(value: unknown, expected: string): boolean {
  const trim = (text: unknown): string => String(text).replace(/\/$/, '')
  return value !== undefined && trim(value) === trim(expected)
}

function valueAt(tree: Tree, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>(
      (node, part) => (isTree(node) && Object.hasOwn(node, part) ? node[part] : undefined),
      tree,
    )
}
