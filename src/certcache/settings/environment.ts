/**
 * The environment names of the old DODAS ttscache: each sets the key that took its place, or is answered with what to use
 * instead. Keys of the configuration and CERTCACHE_… names win over them.
 */
import { join } from 'node:path'
import { type Environment, isTree, setByName, type Tree } from '../../config/settings-tree.ts'

/** What came of the old names. Neither text holds a value that may be secret. */
export interface OldNames {
  /** Names that set a key. */
  readonly used: readonly string[]
  /** For the log: what was ignored, and why. */
  readonly notes: readonly string[]
  /** What stops the start. */
  readonly problems: readonly string[]
}

/** An old name that sets one key. */
interface Renamed {
  /** `source.token` */
  readonly key: string
  /** Other keys that give the same thing: when one is set, the old name is not used. */
  readonly instead?: readonly string[]
  /** The value in today's form; undefined when it cannot be understood. */
  readonly read?: (value: string) => string | undefined
  readonly wanted?: string
}

/** In this order: PROXY_TTS wins over the endpoint that stands below it. */
const renamed: Readonly<Record<string, Renamed>> = {
  IAM_TOKEN: { key: 'source.token', instead: ['source.token_file'] },
  IAM_CLIENT_ID: { key: 'source.client_id' },
  IAM_CLIENT_SECRET: { key: 'source.client_secret', instead: ['source.client_secret_file'] },
  IAM_REFRESH_TOKEN: { key: 'source.refresh_token', instead: ['source.refresh_token_file'] },
  PROXY_IAM_ENDPOINT: { key: 'source.issuer' },
  PROXY_TTS: { key: 'service.url' },
  PROXY_CREDENTIAL_ENDPOINT: {
    key: 'service.url',
    read: serviceOfEndpoint,
    wanted: 'a URL such as https://tts.example.org/api/v2/credential',
  },
  PROXY_AUDIENCE: { key: 'source.audience' },
  PROXY_LOCAL_CACHE_EXPIRATION_TIME: {
    key: 'renewal.renew_after_seconds',
    read: (value) => (/^\d{2,8}$/.test(value) ? value : undefined),
    wanted: 'a number of seconds',
  },
}

/** Old names that do nothing any more. */
const ignored: Readonly<Record<string, string>> = {
  PROXY_LOCK_FILE_AGE:
    'there is no lock file to grow old: the lock ends with the process that holds it',
  ZOOKEEPER_HOST_LIST:
    'state is not kept in ZooKeeper; for several certcaches use PostgreSQL by state.url',
  MARATHON_USER:
    'state is not kept in Marathon; for several certcaches use PostgreSQL by state.url',
  MARATHON_PASSWD:
    'state is not kept in Marathon, and nothing needs its password: take it away; for several certcaches use PostgreSQL by state.url',
}

/** Fills keys that are not set yet from the old names. `tree` is changed. */
export function applyOldNames(tree: Tree, environment: Environment): OldNames {
  const used: string[] = []
  const notes: string[] = []
  const problems: string[] = []
  for (const [name, rule] of Object.entries(renamed)) {
    const value = environment[name]?.trim()
    if (!value) continue
    const wanted = rule.read === undefined ? value : rule.read(value)
    const other = [rule.key, ...(rule.instead ?? [])].find(
      (key) => valueAt(tree, key) !== undefined,
    )
    if (wanted === undefined) problems.push(`${name}: not understood; must be ${rule.wanted}`)
    else if (other === undefined) {
      setByName(tree, rule.key.replaceAll('.', '__'), wanted)
      used.push(name)
    } else if (!sameText(valueAt(tree, rule.key), wanted))
      notes.push(`${name} is not used: ${other} is set, to something else, and wins`)
  }
  for (const [name, why] of Object.entries(ignored))
    if (environment[name]) notes.push(`${name} is not used: ${why}`)
  directory(tree, environment, { used, notes })
  manager(tree, environment, { notes, problems })
  return { used, notes, problems }
}

/** PROXY_CACHE_DIR, where all files went: the state goes below it, and the proxy under its old name into it. */
function directory(
  tree: Tree,
  environment: Environment,
  { used, notes }: { readonly used: string[]; readonly notes: string[] },
): void {
  const path = environment['PROXY_CACHE_DIR']?.trim()
  if (!path) return
  const hasState = valueAt(tree, 'state.directory') !== undefined
  const hasProxies = valueAt(tree, 'proxies') !== undefined
  if (hasState && hasProxies) {
    notes.push('PROXY_CACHE_DIR is not used: state.directory and proxies are set, and win')
    return
  }
  used.push('PROXY_CACHE_DIR')
  if (!hasState) setByName(tree, 'state__directory', join(path, 'certcache'))
  if (!hasProxies)
    tree['proxies'] = { gwms_proxy: { outputs: [{ path: join(path, 'userproxy.pem') }] } }
}

/** CACHE_MANAGER: where the refresh token was kept. */
function manager(
  tree: Tree,
  environment: Environment,
  { notes, problems }: { readonly notes: string[]; readonly problems: string[] },
): void {
  const value = environment['CACHE_MANAGER']?.trim().toUpperCase()
  if (!value || value === 'MEMORY') return
  const advice =
    'for several certcaches of one cluster use PostgreSQL: set state.url_file and state.key_file; for a single one take CACHE_MANAGER away, its state directory outlives restarts'
  const known = ['ZOOKEEPER', 'MARATHON'].includes(value)
  const hasUrl = ['state.url', 'state.url_file'].some((key) => valueAt(tree, key) !== undefined)
  if (known && hasUrl) notes.push(`CACHE_MANAGER=${value} is not used: state is in PostgreSQL`)
  else if (known)
    problems.push(`CACHE_MANAGER=${value}: state is not kept there any more; ${advice}`)
  else problems.push('CACHE_MANAGER: must be MEMORY, or unset')
}

/** `https://tts.example.org/api/v2/iam/credential` is an endpoint of the service at `https://tts.example.org`. */
function serviceOfEndpoint(value: string): string | undefined {
  if (!URL.canParse(value)) return undefined
  const { origin, pathname } = new URL(value)
  const end = pathname.search(/\/api\/v\d/)
  return end < 0 ? undefined : `${origin}${pathname.slice(0, end)}`
}

/** Letter for letter, but for one slash at the end. */
function sameText(found: unknown, wanted: string): boolean {
  const plain = (text: unknown): string => String(text).replace(/\/$/, '')
  return found !== undefined && plain(found) === plain(wanted)
}

function valueAt(tree: Tree, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>(
      (place, part) => (isTree(place) && Object.hasOwn(place, part) ? place[part] : undefined),
      tree,
    )
}
