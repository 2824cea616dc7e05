/** Reads IGTF namespaces files, which caNl goes by in addition to, or in place of, a signing_policy. */

/** A rule of the file: which names an issuer may sign. */
interface NamespaceRule {
  /** Slash-DN of the CA. */
  readonly issuer: string
  readonly permit: boolean
  /** The regular expression of the file, as far as it is a text with `.*` at its end. */
  readonly pattern: SimplePattern | undefined
}

interface SimplePattern {
  readonly text: string
  /** Whether anything may follow. */
  readonly open: boolean
}

export interface Namespaces {
  readonly rules: readonly NamespaceRule[]
}

/** Larger files are not read. */
const MAX_LENGTH = 64 * 1024

const statement = /^TO +ISSUER +(?:"([^"]*)"|(SELF)) +(PERMIT|DENY) +SUBJECT +"([^"]*)"$/i

/** Reads the file and ignores what it does not understand. */
export function readNamespaces(text: string): Namespaces {
  const joined = text
    .slice(0, MAX_LENGTH)
    .split(/\r?\n/)
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    // A backslash continues the line.
    .replaceAll(/\\\n/g, ' ')
  return {
    rules: joined.split('\n').flatMap((line) => {
      const match = statement.exec(line.trim().replaceAll(/\s+/g, ' '))
      if (match === null || match[2] !== undefined) return []
      const [, issuer = '', , verb = '', pattern = ''] = match
      return [{ issuer, permit: verb.toUpperCase() === 'PERMIT', pattern: simplePattern(pattern) }]
    }),
  }
}

/** Escaped characters stand for themselves; any other special one makes the pattern too hard to judge here. */
function simplePattern(pattern: string): SimplePattern | undefined {
  const open = pattern.endsWith('.*')
  const rest = open ? pattern.slice(0, -2) : pattern
  const plain = rest.replaceAll(/\\[^a-zA-Z0-9]/g, '')
  // An unescaped dot in a name matches itself too.
  if (/[*+?()[\]{}|^$\\]/.test(plain)) return undefined
  return { text: rest.replaceAll(/\\(.)/g, '$1'), open }
}

/**
 * Whether the rules for an issuer let it sign a name; undefined when there is none for it, or when one of them is too
 * hard to judge.
 */
export function namespacesPermit(
  { rules }: Namespaces,
  issuer: string,
  subject: string,
): boolean | undefined {
  const own = rules.filter((rule) => rule.issuer.toLowerCase() === issuer.toLowerCase())
  if (own.length === 0 || own.some(({ pattern }) => pattern === undefined)) return undefined
  const matching = own.filter(({ pattern }) => pattern !== undefined && matches(pattern, subject))
  return matching.length > 0 && matching.every(({ permit }) => permit)
}

function matches({ text, open }: SimplePattern, subject: string): boolean {
  const wanted = text.toLowerCase()
  const name = subject.toLowerCase()
  return open ? name.startsWith(wanted) : name === wanted
}
