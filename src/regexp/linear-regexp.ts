/**
 * Regular expressions that operators write and strangers' claims meet. Node's own engine backtracks, so that `(a+)+$` could hold
 * up the whole process, and a time limit would refuse healthy users on a busy machine. RE2 takes time linear in the claim.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js'
import { translateRegexp } from './translate.ts'

/** Longest expression, in UTF-16 code units. */
export const MAX_REGEXP_CHARACTERS = 512
/** Longest value that is matched, in UTF-16 code units. */
export const MAX_VALUE_CHARACTERS = 1024
/**
 * What an expression may compile to; work for a value is at most instructions times characters. A character or class is one
 * instruction, each repetition of it one or two more.
 */
const MAX_INSTRUCTIONS = 1500

/** An expression that is ready to be matched, or why there is none and what to write instead. */
export type CompiledRegexp =
  { readonly matches: (value: string) => boolean } | { readonly problem: string }

/**
 * Compiles an expression of JavaScript's syntax with the flag `u`. Whatever compiles means the same as in JavaScript.
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

/** Why V8 refuses it, without the expression that its message repeats. */
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
    // The tables for the classes are made by the first match: at the start, not in somebody's request.
    expression.test('')
    return { matches: (value) => expression.test(value) }
  } catch (error) {
    // The pattern is valid by construction: what RE2 refuses is its size, its depth or counts over 1000.
    if (error instanceof RE2JSSyntaxException) return { problem: tooLarge }
    throw error
  }
}

type Matcher = (value: string) => boolean

/** All of the configuration, and so no more than that holds. */
const compiled = new Map<string, Matcher>()

/** Compiles an expression of the configuration, once and for all; why that is impossible, if it is. */
export function regexpProblem(source: string): string | undefined {
  if (compiled.has(source)) return undefined
  const made = compileRegexp(source)
  if ('problem' in made) return made.problem
  compiled.set(source, made.matches)
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
      `the claim is longer than the ${MAX_VALUE_CHARACTERS} characters that a regexp is matched on`,
    )
  }
  const problem = regexpProblem(source)
  if (problem !== undefined) throw new Error(`the regexp cannot be used: ${problem}`)
  return compiled.get(source)?.(value) === true
}
