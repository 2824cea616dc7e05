/** Reads IGTF namespaces files, which caNl goes by in addition to, or in place of, a signing_policy. */
import { RE2JS, RE2JSSyntaxException } from 're2js'

/** A rule of the file: which names an issuer may sign. */
interface NamespaceRule {
  /** Slash-DN of the CA; `SELF` is the CA of the file's name. */
  readonly issuer: string
  readonly permit: boolean
  /** Regular expression of Java. */
  readonly expression: string
}

export interface Namespaces {
  /** Empty if the file has an error: then caNl ignores all of it. */
  readonly rules: readonly NamespaceRule[]
}

/** What the rules say of a name; `unknown` when one of them cannot be judged here. */
export type NamespaceVerdict = 'permitted' | 'forbidden' | 'unknown'

/** Longest expression, in characters. */
const MAX_EXPRESSION_LENGTH = 1024
/** Counted repetitions in one expression. RE2 writes each out, up to 1000 times. */
const MAX_REPETITIONS = 4

const statement =
  /^TO +ISSUER +(?:"((?:[^"\\]|\\.)*)"|SELF) +(PERMIT|DENY) +SUBJECT +"((?:[^"\\]|\\.)*)"$/i

/** Reads the file as caNl for Java 2.7 does. */
export function readNamespaces(text: string): Namespaces {
  const rules: NamespaceRule[] = []
  for (const line of joinLines(text)) {
    const match = statement.exec(line)
    if (match === null) return { rules: [] }
    const [, issuer = 'SELF', verb = '', expression = ''] = match
    rules.push({ issuer, permit: verb.toUpperCase() === 'PERMIT', expression })
  }
  return { rules }
}

/** The statements, without comments; a backslash continues a line. */
function joinLines(text: string): readonly string[] {
  const statements: string[] = []
  let begun = ''
  for (const whole of text.split(/\r\n|\r|\n/)) {
    const version = /^#NAMESPACES-VERSION: (.*)$/.exec(whole)
    // caNl refuses files of another version.
    if (version && version[1] !== '1.0') return ['']
    const line = /^(?:[^#\\]|\\.|\\$)*/.exec(whole)?.[0] ?? ''
    if (line.endsWith('\\') && !line.endsWith('\\\\')) {
      begun += line.slice(0, -1)
      continue
    }
    begun += line
    if (begun.trim() === '') continue
    statements.push(begun.trim())
    begun = ''
  }
  return statements
}

/**
 * Whether a name matches; undefined if the expression uses something that only Java knows. RE2 reads Java's syntax
 * where both mean the same by it, and takes no time that grows without bound. caNl writes expression and name in small
 * letters.
 */
function matches(expression: string, name: string): boolean | undefined {
  // Within a class, "&&" and "[" are set operations in Java, and letters in RE2.
  const isOfJava = /&&|\[[^\]]*\[/.test(expression)
  const repetitions = expression.split('{').length - 1
  if (isOfJava || expression.length > MAX_EXPRESSION_LENGTH || repetitions > MAX_REPETITIONS)
    return undefined
  try {
    const flags = RE2JS.CASE_INSENSITIVE
    return RE2JS.compile(expression.toLowerCase(), flags).matches(name.toLowerCase())
  } catch (error) {
    if (error instanceof RE2JSSyntaxException) return undefined
    throw error
  }
}

/**
 * What the rules for an issuer say of a name that it signed; undefined when there is none for it.
 *
 * @param issuer - slash-DN of the CA whose hash is in the file's name
 * @param subject - slash-DN
 */
export function namespacesPermit(
  { rules }: Namespaces,
  issuer: string,
  subject: string,
): NamespaceVerdict | undefined {
  const names = ['self', issuer.toLowerCase()]
  const own = rules.filter((rule) => names.includes(rule.issuer.toLowerCase()))
  if (own.length === 0) return undefined
  const judged = own.map(({ permit, expression }) => ({
    permit,
    isMatch: matches(expression, subject),
  }))
  if (judged.some(({ permit, isMatch }) => isMatch === true && !permit)) return 'forbidden'
  if (judged.some(({ isMatch }) => isMatch === undefined)) return 'unknown'
  return judged.some(({ isMatch }) => isMatch) ? 'permitted' : 'forbidden'
}
