import type { ExchangeRule } from './request.ts'

/** `resource` must be an absolute URL without query or fragment (RFC 8693 section 2.1; IAM is stricter). */
export const resourceAbsolute: ExchangeRule = ({ parameters }) => {
  const { resource } = parameters
  if (resource === undefined) return undefined
  const values = typeof resource === 'string' ? resource.split(' ') : ['']
  const ok = values.every((value) => URL.canParse(value) && !/[?#]/.test(value))
  if (ok) return undefined
  return {
    status: 400,
    error: 'invalid_target',
    description: `Not a valid URI: ${values.join(' ')}`,
  }
}
