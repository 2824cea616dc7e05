/** Converts the OpenID providers of a watts.conf. */
import { aliasPattern } from '../../ca/subject-naming.ts'
import { idPattern } from '../config/id-pattern.ts'
import type { Tree } from '../config/settings-tree.ts'
import type { Reading } from './reading.ts'
import { withSharedIssuers } from './shared-issuers.ts'

/** A secret that is written to a separate file. */
export interface ImportedSecret {
  readonly provider: string
  /** Name of the file, without a directory. */
  readonly fileName: string
  readonly value: string
}

/** The converted providers. */
export interface ImportedProviders {
  readonly providers: Tree
  readonly secrets: readonly ImportedSecret[]
  /** Maps the id of each provider in WaTTS to its id here. */
  readonly ids: ReadonlyMap<string, string>
}

const discoverySuffix = /\/\.well-known\/openid-configuration\/?$/

/** Converts the providers; `publicUrl` becomes an audience that clients can request. */
export function importProviders(reading: Reading, publicUrl: string): ImportedProviders {
  const ids = new Map<string, string>()
  const providers = new Map<string, Tree>()
  const secrets: ImportedSecret[] = []
  const shared = sharedSettings(reading)
  for (const id of reading.ids('openid').filter((each) => isProvider(reading, each))) {
    const ours = ourId(id, reading)
    if (ours === undefined) continue
    if (providers.has(ours)) {
      reading.remark(
        'problem',
        `openid.${id}`,
        `its id would be ${ours}, which another provider has already`,
      )
      continue
    }
    ids.set(id, ours)
    const { settings, secret } = importProvider(reading, id, { ours, publicUrl })
    const earlier = [...providers.values()]
    const isFirst = earlier.every(({ issuer }) => issuer !== settings['issuer'])
    const alias = isFirst ? importAlias(reading, { id, ours, earlier }) : undefined
    providers.set(ours, { ...settings, ...shared, ...(alias !== undefined && { alias }) })
    if (secret !== undefined) secrets.push(secret)
  }
  if (providers.size > 0) remarkLogins(reading, publicUrl)
  return { providers: Object.fromEntries(withSharedIssuers(reading, providers)), secrets, ids }
}

/** Lines of other keys, such as misspelt ones, make no provider. */
function isProvider(reading: Reading, id: string): boolean {
  return ['description', 'client_id', 'client_secret', 'config_endpoint'].some(
    (name) => reading.find(`openid.${id}.${name}`) !== undefined,
  )
}

/** Returns the id here, which is the same if it can be part of a path. */
function ourId(id: string, reading: Reading): string | undefined {
  if (id === 'any' || id.startsWith('rsp')) {
    reading.remark('problem', `openid.${id}`, 'WaTTS does not accept this provider name')
    return undefined
  }
  const ours = idPattern.test(id)
    ? id
    : id
        .replace(/[^A-Za-z0-9._-]/g, '-')
        .replace(/^[._-]+/, '')
        .slice(0, 64)
  if (!/[A-Za-z0-9]/.test(ours)) {
    reading.remark('problem', `openid.${id}`, 'the id has no letter or digit')
    return undefined
  }
  if (ours !== id)
    reading.remark(
      'changed',
      `openid.${id}`,
      `its id is now ${ours} (at most 64 characters, the first one not a hyphen or dot): clients that use the id must use the new one, or the issuer`,
    )
  return ours
}

/** Returns an alias that no other provider has, if the id cannot be one: the names of users contain it. */
function importAlias(
  reading: Reading,
  provider: { readonly id: string; readonly ours: string; readonly earlier: readonly Tree[] },
): string | undefined {
  const { id, ours, earlier } = provider
  const others = reading.ids('openid').filter((other) => other !== id)
  const used = [...others, ...earlier.map(({ alias = '' }) => String(alias))]
  const isFree = (alias: string): boolean =>
    !used.some((other) => other.toLowerCase() === alias.toLowerCase())
  if (aliasPattern.test(ours) && isFree(ours)) return undefined
  const base = trimmed(ours.replace(/[^A-Za-z0-9.-]/g, '-'), 21)
  const numbered = [base, ...Array.from({ length: 99 }, (_, i) => `${trimmed(base, 18)}-${i + 2}`)]
  const alias = numbered.find(isFree) ?? base
  reading.remark(
    'changed',
    `openid.${id}`,
    `the names of its users end in @${alias} (alias), because the id is not possible there`,
  )
  return alias
}

const trimmed = (text: string, length: number): string =>
  text
    .replace(/^[.-]+/, '')
    .slice(0, length)
    .replace(/[.-]+$/, '')

function remarkLogins(reading: Reading, publicUrl: string): void {
  reading.remark(
    'changed',
    'openid',
    `WaTTS accepted tokens for any audience. This service accepts tokens for public_url or the client, and tokens without audience (accept_missing_audience, which lets other services of the user replay tokens: switch it off once clients request the audience). ID tokens, which also are for the client, are refused: a token must show that it is an access token. If those of your provider do not, 'tts check --token' reports it: see access_token_evidence. The redirect URI stays ${publicUrl}/oidc, which is registered at the providers (login.redirect_path). The button that shows the access token is off (web.show_access_token)`,
  )
}

interface Place {
  readonly ours: string
  readonly publicUrl: string
}

function importProvider(reading: Reading, id: string, { ours, publicUrl }: Place) {
  const key = (name: string): string => `openid.${id}.${name}`
  const to = (name: string): string => `providers.${ours}.${name}`
  const clientId = reading.text(key('client_id'), to('client_id'))
  const value = reading.text(key('client_secret'), to('client_secret_file'))
  const description = reading.text(key('description'), to('description'))
  const secret =
    value === undefined ? undefined : { provider: ours, fileName: `client-secret-${ours}`, value }
  const settings: Tree = {
    issuer: importIssuer(reading, key('config_endpoint'), to('issuer')),
    ...(description !== undefined && { description }),
    audiences: [publicUrl, ...(clientId === undefined ? [] : [clientId])],
    accept_missing_audience: true,
    ...(clientId !== undefined && { client_id: clientId }),
    ...(secret !== undefined && { client_secret_file: secret.fileName }),
    // WaTTS introspected every token.
    ...(clientId !== undefined && secret !== undefined && { introspect: 'opaque' }),
    userinfo: 'always',
    ...importLogin(reading, key, to),
  }
  for (const [name, value] of Object.entries({
    client_id: clientId,
    config_endpoint: settings['issuer'],
  }))
    if (value === undefined) reading.remark('problem', key(name), 'is missing')
  return { settings, secret }
}

function importIssuer(reading: Reading, key: string, to: string): string | undefined {
  const url = reading.text(key, to)
  const setting = reading.find(key)
  if (url === undefined || setting === undefined) return undefined
  if (!discoverySuffix.test(url)) {
    reading.problem(
      setting,
      'must be a URL that ends in /.well-known/openid-configuration; set providers.ID.issuer to the issuer (claim iss of tokens)',
    )
    return undefined
  }
  return url.replace(discoverySuffix, '/')
}

type Naming = (name: string) => string

function importLogin(reading: Reading, key: Naming, to: Naming): Tree {
  const scopes = reading.text(key('request_scopes'), to('login.scopes'))
  const disabled = reading.boolean(key('disable_login'), to('login.enabled')) ?? false
  const hint = reading.text(key('idphint'), to('login.parameters'))
  const login: Tree = {
    redirect_path: '/oidc',
    ...(hint !== undefined && { parameters: { idphint: hint } }),
    ...(disabled && { enabled: false }),
    ...(scopes !== undefined && {
      scopes: scopes.split(/[, \t]+/).filter((scope) => scope !== ''),
    }),
  }
  return { login }
}

/** Converts the settings that WaTTS had for all providers together. */
function sharedSettings(reading: Reading): Tree {
  const cached = boundedSeconds(reading, 'oidc.cache_duration', {
    name: 'introspection_cache_seconds',
    most: 300,
  })
  const timeout = boundedSeconds(reading, 'oidc.request_timeout', {
    name: 'timeout_seconds',
    most: 60,
  })
  return {
    ...(cached !== undefined && { introspection_cache_seconds: cached }),
    ...(timeout !== undefined && { timeout_seconds: Math.max(timeout, 1) }),
  }
}

function boundedSeconds(
  reading: Reading,
  key: string,
  ours: { name: string; most: number },
): number | undefined {
  const setting = reading.find(key)
  const to = `providers.ID.${ours.name}`
  if (setting?.value === 'none') {
    reading.carried(setting, to)
    return 0
  }
  const value = reading.integer(key, to, { least: 0, most: 999_999_999 })
  if (setting !== undefined && value !== undefined && value > ours.most)
    reading.changed(setting, to, `${ours.most} seconds, which is the maximum`)
  return value === undefined ? undefined : Math.min(value, ours.most)
}
