import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../../ca/errors.ts'
import {
  type Fqan,
  formatFqan,
  formatLongFqan,
  MAX_FQAN_LENGTH,
  parseFqan,
  voNamePattern,
} from '../../../ca/voms/fqan.ts'

describe('FQANs', () => {
  test.for<readonly [string, Fqan]>([
    ['/cms', { groups: ['cms'], role: undefined }],
    ['/cms/Role=NULL', { groups: ['cms'], role: undefined }],
    ['/cms/Role=NULL/Capability=NULL', { groups: ['cms'], role: undefined }],
    ['/cms/Capability=NULL', { groups: ['cms'], role: undefined }],
    ['/cms/Role=production', { groups: ['cms'], role: 'production' }],
    ['/cms/uscms/t1/Role=x', { groups: ['cms', 'uscms', 't1'], role: 'x' }],
    ['/vo.example.org/g-1/Role=a_b', { groups: ['vo.example.org', 'g-1'], role: 'a_b' }],
  ])('%s is read', ([text, fqan]) => {
    expect(parseFqan(text)).toEqual(fqan)
  })

  test.for([
    '',
    '/',
    'cms',
    '//',
    '/cms/',
    '//cms',
    '/cms//x',
    '/.cms',
    '/..',
    '/../etc',
    '/cms/..',
    '/cms/Role=',
    '/cms/Role=a/Role=b',
    '/cms/Role=a/sub',
    '/Role=production',
    '/cms/Capability=x',
    '/cms/x=y',
    '/cms/with space',
    '/cms/a,b',
    '/cms/a"b',
    '/cms/a\nb',
    '/cms\u0000',
    '/čms',
    '/cms/%2e%2e',
    `/cms/${'g'.repeat(64)}`,
    `/${'cms/'.repeat(80)}x`,
  ])('%j is refused', (text) => {
    expect(() => parseFqan(text)).toThrow(CaError)
    expect(() => parseFqan(text)).toThrow(
      text.length > MAX_FQAN_LENGTH
        ? `an FQAN must have at most ${MAX_FQAN_LENGTH} characters`
        : text.startsWith('/') && text !== '/'
          ? /^an FQAN must look like \/vo\/group\/Role=role/
          : /^an FQAN must (begin with a slash|look like)/,
    )
  })

  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,12}$/)
  test('what is formatted is read again, in both forms', () => {
    fc.assert(
      fc.property(
        fc.array(name, { minLength: 1, maxLength: 5 }),
        fc.option(name, { nil: undefined }),
        (groups, role) => {
          fc.pre(role !== 'NULL')
          const fqan = { groups, role }
          expect(parseFqan(formatFqan(fqan))).toEqual(fqan)
          expect(parseFqan(formatLongFqan(fqan))).toEqual(fqan)
        },
      ),
    )
  })

  test('any text is read to what it was written from, or refused', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[/RolecmsNUL=.a ]{0,40}$/), (text) => {
        let fqan: Fqan
        try {
          fqan = parseFqan(text)
        } catch (error) {
          expect(error).toBeInstanceOf(CaError)
          return
        }
        expect(text.replace(/\/Capability=NULL$/, '').replace(/\/Role=NULL$/, '')).toBe(
          formatFqan(fqan),
        )
      }),
    )
  })

  test.for(['..', '.', '', 'a/b', 'a b', '"', 'a\n', '-x', '$(id)', 'ü', 'x'.repeat(64)])(
    'a VO cannot have the name %j',
    (vo) => {
      expect(vo).not.toMatch(voNamePattern)
    },
  )
})
