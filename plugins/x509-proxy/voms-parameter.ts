/** The parameter `voms`: which attributes of which VOs, written as for `voms-proxy-init -voms`. */
import { z } from 'zod'
import { CaError } from '../../ca/errors.ts'
import { type Fqan, parseFqan, voNamePattern } from '../../ca/voms/fqan.ts'
import type { VomsRequest } from '../plugin.ts'

const MAX_LENGTH = 4096
const MAX_ORGANISATIONS = 10
const MAX_REQUESTED = 50

const text = z.string().max(MAX_LENGTH)

/** One text with blanks between VOs, or a list of texts. */
const vomsRequests = z
  .union([text.transform((words) => words.split(/\s+/)), z.array(text).max(MAX_REQUESTED)])
  .transform((words, context): readonly VomsRequest[] => {
    try {
      return readRequests(words.filter((word) => word !== ''))
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })

/** The schema of the parameter, for a service that issues attributes of these VOs. */
export function vomsParameter(
  vos: readonly string[],
): z.ZodType<readonly VomsRequest[] | undefined> {
  // Without a description it is not in lists and forms.
  if (vos.length === 0)
    return z.undefined({ error: 'this service issues no VOMS attributes' }).optional()
  return vomsRequests
    .optional()
    .describe(
      `VOMS attributes, as for voms-proxy-init -voms: \`${vos[0]}\` for your groups in the VO, or \`${vos[0]}:/${vos[0]}/Role=production\` for a role too. Several with spaces between. VOs: ${vos.join(', ')}.`,
    )
}

/** Says what is wrong with a text for this parameter; undefined if nothing is. */
export function vomsTextProblem(value: string): string | undefined {
  try {
    readRequests(value.split(/\s+/).filter((word) => word !== ''))
    return undefined
  } catch (error) {
    if (error instanceof CaError) return error.message
    throw error
  }
}

function readRequests(words: readonly string[]): readonly VomsRequest[] {
  const byVo = new Map<string, Fqan[] | 'all'>()
  for (const word of words) {
    const colon = word.indexOf(':')
    const vo = colon < 0 ? word : word.slice(0, colon)
    if (!voNamePattern.test(vo))
      throw refusal('must be VO or VO:FQAN, such as cms or cms:/cms/Role=production')
    const given = colon < 0 ? [] : readFqans(vo, word.slice(colon + 1))
    const before = byVo.get(vo) ?? []
    byVo.set(vo, before === 'all' || given === 'all' ? 'all' : [...before, ...given])
  }
  if (byVo.size === 0) throw refusal('must name a VO')
  if (byVo.size > MAX_ORGANISATIONS) throw refusal(`must name at most ${MAX_ORGANISATIONS} VOs`)
  return [...byVo].map(([vo, fqans]) => ({ vo, fqans }))
}

function readFqans(vo: string, list: string): Fqan[] | 'all' {
  // As voms-proxy-init does it: groups and roles.
  if (list.toLowerCase() === 'all') return 'all'
  const fqans = list.split(',').map(parseFqan)
  if (fqans.length > MAX_REQUESTED) throw refusal(`must have at most ${MAX_REQUESTED} FQANs`)
  if (fqans.some(({ groups }) => groups[0] !== vo))
    throw refusal(`every FQAN after ${vo}: must begin with /${vo}`)
  return fqans
}

function refusal(message: string): CaError {
  return new CaError('bad_request', message, { field: 'voms', reason: 'bad_value' })
}
