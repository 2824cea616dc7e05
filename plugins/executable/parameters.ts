/** The parameters that a plugin declares: those of the configuration with their values, those of requests with their check. */
import { fitsSomeSet } from '../parameters.ts'
import { type ParameterSets, PluginError, type RequestParameter } from '../plugin.ts'
import { AnswerError, type DeclaredConfParam, type DeclaredRequestParam } from './protocol.ts'

const KEY = /^[a-z0-9_]{1,100}$/

/** Values of the declared parameters; what is configured and not declared is named in `unknown`. */
export interface ConfParams {
  readonly values: Readonly<Record<string, boolean | string>>
  readonly unknown: readonly string[]
}

/** @throws {AnswerError} naming the parameter, for declarations and values that do not fit */
export function resolveConfParams(
  declared: readonly DeclaredConfParam[],
  configured: Readonly<Record<string, boolean | string | number>>,
): ConfParams {
  const values = new Map<string, boolean | string>()
  for (const { name, type, default: fallback } of declared) {
    if (!KEY.test(name) || values.has(name))
      throw new AnswerError(
        'a name in conf_params is not of lower-case letters, digits and _, or is there twice',
      )
    if (type !== 'boolean' && type !== 'string')
      throw new AnswerError(`conf_params ${name}: the type is neither boolean nor string`)
    const own = Object.hasOwn(configured, name)
    const value = convert(own ? configured[name] : fallback, type)
    if (value === undefined)
      throw new AnswerError(
        own
          ? `conf_params.${name} of the configuration is no ${type}`
          : `conf_params ${name}: the default is no ${type}`,
      )
    values.set(name, value)
  }
  const unknown = Object.keys(configured).filter((name) => !values.has(name))
  return { values: Object.fromEntries(values), unknown }
}

function convert(value: unknown, type: 'boolean' | 'string'): boolean | string | undefined {
  if (type === 'boolean') {
    if ([true, 'True', 'true', 1].some((each) => each === value)) return true
    return [false, 'False', 'false', 0].some((each) => each === value) ? false : undefined
  }
  // YAML reads 0640 and yes as it likes: whoever wants a text gets one.
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined
}

/**
 * The sets as the old server listed them: each from its last parameter to its first. None declared is one empty set.
 *
 * @throws {AnswerError} naming the parameter
 */
export function readParameterSets(
  declared: readonly (readonly DeclaredRequestParam[])[],
): ParameterSets {
  if (declared.length === 0) return [[]]
  return declared.map((set) => {
    const keys = new Set(set.map(({ key }) => key))
    if (keys.size !== set.length) throw new AnswerError('request_params: a key is there twice')
    return set.map(readRequestParam).reverse()
  })
}

function readRequestParam(declared: DeclaredRequestParam): RequestParameter {
  const { key, name, description, type, mandatory = false } = declared
  if (!KEY.test(key))
    throw new AnswerError('request_params: a key is not of lower-case letters, digits and _')
  if (type !== 'textarea' && type !== 'text')
    throw new AnswerError(`request_params ${key}: the type is not textarea`)
  const wanted = convert(mandatory, 'boolean')
  if (wanted === undefined)
    throw new AnswerError(`request_params ${key}: mandatory is neither true nor false`)
  return { key, name, description, type, mandatory: wanted === true }
}

/**
 * Checks keys only, as WaTTS does: all mandatory ones of one set, and nothing outside that set. Values reach the plugin as
 * they are.
 *
 * @throws {PluginError} `invalid_parameters`
 */
export function checkRequestParams(
  sets: ParameterSets,
  params: unknown,
): Readonly<Record<string, unknown>> {
  if (typeof params !== 'object' || params === null || Array.isArray(params)) throw invalid()
  if (!fitsSomeSet(sets, Object.keys(params))) throw invalid()
  return params as Readonly<Record<string, unknown>>
}

function invalid(): PluginError {
  // The very words, mistake included, that clients of WaTTS compare.
  return new PluginError('invalid_parameters', 'invalid parameter have been passed')
}
