/** Resolves and checks the parameters that a plugin declares, for its configuration and for requests. */
import { isRawJSON } from '../json.ts'
import { fitsSomeSet } from '../parameters.ts'
import { type ParameterSets, PluginError, type RequestParameter } from '../plugin.ts'
import { AnswerError, type DeclaredConfParam, type DeclaredRequestParam } from './protocol.ts'

const KEY = /^[a-z0-9_]{1,100}$/

/** Values of the declared parameters; `unknown` names configured parameters that are not declared. */
export interface ConfParams {
  readonly values: Readonly<Record<string, boolean | string>>
  readonly unknown: readonly string[]
}

/**
 * Returns the values of all declared parameters. @throws {AnswerError} naming the parameter that is declared or set
 * wrongly
 */
export function resolveConfParams(
  declared: readonly DeclaredConfParam[],
  configured: Readonly<Record<string, boolean | string | number>>,
): ConfParams {
  const values = new Map<string, boolean | string>()
  for (const { name, type, default: fallback } of declared) {
    if (!KEY.test(name) || values.has(name))
      throw new AnswerError(
        'conf_params: a name is repeated, or does not consist of lower-case letters, digits and _',
      )
    if (type !== 'boolean' && type !== 'string')
      throw new AnswerError(`conf_params ${name}: the type must be boolean or string`)
    const own = Object.hasOwn(configured, name)
    const value = convert(own ? configured[name] : fallback, type)
    if (value === undefined)
      throw new AnswerError(
        own
          ? `conf_params.${name} of the configuration must be a ${type}`
          : `conf_params ${name}: the default must be a ${type}`,
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
  // YAML reads values such as 0640 and yes as numbers and booleans, so they are accepted as strings.
  if (isRawJSON(value)) return JSON.stringify(value)
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined
}

/**
 * Returns the parameter sets in WaTTS's order: each from its last parameter to its first. Without a declaration there
 * is one empty set.
 *
 * @throws {AnswerError} naming the parameter that is declared wrongly
 */
export function readParameterSets(
  declared: readonly (readonly DeclaredRequestParam[])[],
): ParameterSets {
  if (declared.length === 0) return [[]]
  return declared.map((set) => {
    const keys = new Set(set.map(({ key }) => key))
    if (keys.size !== set.length) throw new AnswerError('request_params: a key is repeated')
    return set.map(readRequestParam).reverse()
  })
}

function readRequestParam(declared: DeclaredRequestParam): RequestParameter {
  const { key, name, description, type, mandatory = false } = declared
  if (!KEY.test(key))
    throw new AnswerError('request_params: a key must consist of lower-case letters, digits and _')
  if (type !== 'textarea' && type !== 'text')
    throw new AnswerError(`request_params ${key}: the type must be text or textarea`)
  const isMandatory = convert(mandatory, 'boolean')
  if (isMandatory === undefined)
    throw new AnswerError(`request_params ${key}: mandatory must be true or false`)
  return { key, name, description, type, mandatory: isMandatory === true }
}

/**
 * Checks the keys only, like WaTTS: they must include all mandatory ones of one set and none outside that set. Values
 * reach the plugin unchanged.
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
  // Clients of WaTTS compare this message, so its mistake must stay.
  return new PluginError('invalid_parameters', 'invalid parameter have been passed')
}
