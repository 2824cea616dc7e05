/**
 * The protocol of VOMS before it had HTTP. Clients in C++ fall back to it after each refusal, and show only what it
 * says, so without it their users would see no reason.
 */
import type { GsiProtocol } from '../../http/gsi-clients.ts'
import type { VomsAnswer } from './answers.ts'

/** Marks requests that were translated. A client that sends it over HTTP only gets the other format. */
export const LEGACY_HEADER = 'x-voms-legacy'

export const legacyProtocol: GsiProtocol = {
  end: '</voms>',
  toHttp(request) {
    const commands = valuesOf(request, 'command')
    if (!request.includes('<voms>') || commands.length === 0) return undefined
    // To ignore one would be to give more than was asked for: attributes without targets, for example.
    if (!ELEMENTS.every((name) => isReadable(request, name))) return undefined
    const fqans = commands.map(fqanOf).join(',')
    const others = ['lifetime', 'order', 'targets'].flatMap((name) =>
      valuesOf(request, name).map((value) => `${name}=${encodeURIComponent(value)}`),
    )
    const parameters = [`fqans=${encodeURIComponent(fqans)}`, ...others]
    return `GET /generate-ac?${parameters.join('&')} HTTP/1.0\r\n${LEGACY_HEADER}: 1\r\n\r\n`
  },
}

const ELEMENTS = ['command', 'lifetime', 'order', 'targets']

/** The texts of all elements of this name. Clients write them without attributes, and without entities. */
function valuesOf(xml: string, name: string): readonly string[] {
  const elements = new RegExp(`<${name}>([^<>&]*)</${name}>`, 'g')
  return [...xml.matchAll(elements)].map(([, value = '']) => value)
}

function isReadable(xml: string, name: string): boolean {
  const begun = xml.split(`<${name}`).length - xml.split(`<${name}/>`).length
  return begun === valuesOf(xml, name).length
}

/** `A`, `G/group`, `Rrole`, `B/group:role`: all, a group, a role in any group, a role in a group. */
function fqanOf(command: string): string {
  if (command === 'A' || command === 'N') return 'all'
  const rest = command.slice(1).replace(':', '/Role=')
  return command.startsWith('R') ? `/Role=${rest}` : rest
}

/** Numbers of errors by code. */
const numbers: Readonly<Record<string, number>> = {
  NoSuchUser: 1001,
  BadRequest: 1003,
  SuspendedUser: 1004,
  InternalError: 1006,
}

/** Translates an answer. A refusal has an attribute certificate too, the letter A: clients ignore it otherwise. */
export function legacyAnswer({ body }: VomsAnswer): string {
  const [ac = 'QQ==\n'] = valuesOf(body, 'ac')
  const [code = ''] = valuesOf(body, 'code')
  const messages = /<message>([^<]*)<\/message>/.exec(body)
  const error =
    messages === null
      ? ''
      : `<error><item><number>${numbers[code] ?? 1006}</number><message>${messages[1]}</message></item></error>`
  return `<?xml version="1.0" encoding = "US-ASCII"?><vomsans><version>3</version>${error}<ac>${ac}</ac></vomsans>`
}

/** The answer to what is neither protocol. */
export const unknownProtocolAnswer = legacyAnswer({
  status: 400,
  body: '<code>BadRequest</code><message>this is a VOMS server, and the request is not one of VOMS</message>',
})
