/** Reads requests of the MyProxy protocol: lines `NAME=value`, ended by a NUL. */
import { TtsError } from '../../base/errors.ts'

export type MyProxyCommand = (typeof commands)[number]

export interface MyProxyRequest {
  readonly command: MyProxyCommand
  /** Access token or one-time code; empty if there is none. */
  readonly passphrase: string
  /** 0: as long as the service gives by default. */
  readonly lifetimeSeconds: number
  /** Name of the credential: the id of a service. */
  readonly credentialName: string | undefined
  readonly wantsTrustRoots: boolean
  /** VOMS attributes, written as for `voms-proxy-init -voms`. */
  readonly voms: readonly string[]
}

/** By their numbers in the protocol. */
const commands = [
  'GET',
  'PUT',
  'INFO',
  'DESTROY',
  'CHANGE_PASSPHRASE',
  'STORE',
  'RETRIEVE',
  'TRUSTROOTS',
] as const

const VERSION = 'MYPROXYv2'
/** Far longer than any service gives, and exact as a number. */
const MAX_LIFETIME_DIGITS = 12

/**
 * Reads a request. Lines that it does not know are skipped, as the protocol demands. The user name is one of them: the
 * token says who the user is.
 *
 * @param bytes without the NUL
 * @throws {TtsError} `invalid_request`, checks `version`, `command`, `repeated`, `lifetime`
 */
export function readMyProxyRequest(bytes: Buffer): MyProxyRequest {
  const lines = bytes
    .toString('utf8')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
  const all = (name: string): readonly string[] =>
    lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1))
  const one = (name: string): string | undefined => {
    const [value, ...others] = all(name)
    if (others.length > 0) throw invalid('repeated', `${name} is given twice`)
    return value
  }
  if (one('VERSION') !== VERSION)
    throw invalid('version', `this is a MyProxy server: the request must have VERSION ${VERSION}`)
  return {
    command: commandOf(one('COMMAND')),
    passphrase: one('PASSPHRASE') ?? '',
    lifetimeSeconds: lifetimeOf(one('LIFETIME') ?? '0'),
    credentialName: one('CRED_NAME'),
    wantsTrustRoots: (one('TRUSTED_CERTS') ?? '0') !== '0',
    voms: all('VONAME').filter((name) => name !== ''),
  }
}

function commandOf(text: string | undefined): MyProxyCommand {
  const command = text !== undefined && /^\d$/.test(text) ? commands[Number(text)] : undefined
  if (command !== undefined) return command
  throw invalid('command', 'COMMAND must be 0 (GET), 2 (INFO) or 7 (trust roots) at this server')
}

function lifetimeOf(text: string): number {
  if (/^\d+$/.test(text) && text.length <= MAX_LIFETIME_DIGITS) return Number(text)
  throw invalid('lifetime', 'LIFETIME must be a whole number of seconds')
}

function invalid(check: string, message: string): TtsError {
  return new TtsError('invalid_request', message, { check })
}
