/**
 * Matches operators' regular expressions against claims from outside. Node's engine backtracks, so `(a+)+$` could
 * block the whole process, and a time limit would refuse legitimate users on a busy machine. RE2 needs time linear in
 * the length of the claim.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js'
import { translateRegexp } from './translate.ts'

/** Longest expression, in UTF-16 code units. */
export const MAX_REGEXP_CHARACTERS = 512
/** Longest value that is matched, in UTF-16 code units. */
export const MAX_VALUE_CHARACTERS = 1024
/**
 * Largest compiled expression. The work for a value is at most instructions times characters. A character or class is
 * one instruction; each repetition adds one or two.
 */
const MAX_INSTRUCTIONS = 1500

/** A compiled expression, or the problem and what to write instead. */
export type CompiledRegexp =
  { readonly matches: (value: string) => boolean } | { readonly problem: string }

/**
 * Compiles an expression in JavaScript's syntax with the flag `u`. A compiled expression means the same as in
 * JavaScript.
 *
 * @param source - the expression; at most 512 characters
 */
export function compileRegexp(source: string): CompiledRegexp {
  if (source.length > MAX_REGEXP_CHARACTERS)
    return {
      problem: `must have at most ${MAX_REGEXP_CHARACTERS} characters; split it into several rules`,
    }
  const invalid = syntaxProblem(source)
  if (invalid !== undefined) return { problem: invalid }
  const translated = translateRegexp(source)
  return 'problem' in translated ? translated : compilePattern(translated.pattern)
}

/** Returns why V8 refuses the expression, without V8's copy of the expression. */
function syntaxProblem(source: string): string | undefined {
  try {
    RegExp(source, 'u')
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('/u: ').at(-1) : 'unknown syntax'
    return `must be a regular expression of JavaScript with the flag u: ${reason}`
  }
}

const tooLarge =
  'is too large once its repetitions are written out; use smaller counts, or * and + for {0,…} and {1,…}'

function compilePattern(pattern: string): CompiledRegexp {
  try {
    const expression = RE2JS.compile(pattern)
    if (expression.programSize() > MAX_INSTRUCTIONS) return { problem: tooLarge }
    // The first match builds tables, so it is done here and not during a request.
    expression.test('')
    return { matches: (value) => expression.test(value) }
  } catch (error) {
    // The syntax is valid by construction, so RE2 can only refuse its size, its depth or counts over 1000.
    if (error instanceof RE2JSSyntaxException) return { problem: tooLarge }
    throw error
  }
}

type Matcher = (value: string) => boolean

/** The expressions of the configuration, which bounds their number. */
const compiled = new Map<string, Matcher>()

/** Compiles an expression of the configuration and caches it. Returns the problem, if there is one. */
export function regexpProblem(source: string): string | undefined {
  if (compiled.has(source)) return undefined
  const result = compileRegexp(source)
  if ('problem' in result) return result.problem
  compiled.set(source, result.matches)
  return undefined
}

/**
 * Whether some part of the value matches.
 *
 * @param source - checked by {@link regexpProblem} when the configuration was read
 * @throws Error for a value of more than 1024 characters, and for an expression that does not compile
 */
export function matchesRegexp(source: string, value: string): boolean {
  if (value.length > MAX_VALUE_CHARACTERS) {
    throw new Error(
      `the claim is too long for a regexp: at most ${MAX_VALUE_CHARACTERS} characters are matched`,
    )
  }
  const problem = regexpProblem(source)
  if (problem !== undefined) throw new Error(`the regexp cannot be used: ${problem}`)
  return compiled.get(source)?.(value) === true
}
