/** Rules on the name of the user: software writes the same name as different strings. */
import { attributeTypes } from '../name.ts'
import { type DoctorContext, type DoctorRule, endEntityOf, when } from './context.ts'
import { globus, type RelyingParty } from './relying-parties.ts'

/** Who looks names up in a grid map or the like. */
const java: readonly RelyingParty[] = ['caNl-Java', 'VOMS Java']

/** Returns all text values of the EEC's name in one string. */
function personText(context: DoctorContext): string {
  const values = endEntityOf(context).flatMap(({ certificate }) => certificate.subject.flat())
  return values.map(({ value }) => (typeof value === 'string' ? value : '\ufffd')).join('\n')
}

function hasType(context: DoctorContext, names: readonly string[]): boolean {
  const types = names.map((name) => attributeTypes[name])
  return endEntityOf(context).some(({ certificate }) =>
    certificate.subject.flat().some(({ type }) => types.includes(type)),
  )
}

const otherName =
  'Have the EEC issued under a name of letters, digits, spaces and , . - @ : = _ only.'

/** A rule on characters in the person's name. */
function characters(
  id: string,
  parties: readonly RelyingParty[],
  rule: { readonly pattern: RegExp; readonly sentence: string; readonly severity?: 'refuses' },
): DoctorRule {
  return {
    id,
    severity: rule.severity ?? 'warns',
    relyingParties: parties,
    check: (context) => when(rule.pattern.test(personText(context)), rule.sentence),
    remedy: otherName,
  }
}

export const nameRules: readonly DoctorRule[] = [
  characters('name-slash-plus-backslash', [...globus, 'XRootD', ...java], {
    pattern: /[/+\\"]/,
    sentence:
      'The name contains a slash, plus, backslash or double quote: a Globus grid map writes it differently from XRootD and Java.',
  }),
  characters('name-quote', ['XRootD'], {
    pattern: /"/,
    sentence: 'The name contains a double quote: no form of it matches in a grid map of XRootD.',
    severity: 'refuses',
  }),
  characters('name-not-ascii', ['XRootD'], {
    pattern: /[^\x20-\x7e\n]/u,
    sentence:
      'The name contains characters other than printable ASCII: XRootD turns them into unprintable bytes, others write \\xC3\\xA9.',
  }),
  characters('name-parentheses', ['MyProxy', 'HTCondor'], {
    pattern: /[()]/,
    sentence:
      'The name contains a parenthesis: MyProxy and HTCondor map names by regular expressions, where it has a special meaning.',
  }),
  {
    id: 'name-email-or-serial-number',
    severity: 'warns',
    relyingParties: java,
    check: (context) =>
      when(
        hasType(context, ['emailAddress', 'serialNumber']),
        'The name contains an emailAddress or serialNumber: Java writes EMAILADDRESS and SERIALNUMBER.',
      ),
    remedy: otherName,
  },
  {
    id: 'name-uid',
    severity: 'warns',
    relyingParties: [...globus, 'VOMS'],
    check: (context) =>
      when(
        hasType(context, ['UID']),
        'The name contains a UID: Globus and VOMS write USERID in grid maps.',
      ),
    remedy: otherName,
  },
  {
    id: 'name-long-common-name',
    severity: 'warns',
    relyingParties: ['OpenSSL'],
    check: (context) =>
      when(
        endEntityOf(context).some(({ certificate }) =>
          certificate.subject
            .flat()
            .some(({ type, value }) => type === attributeTypes['CN'] && value.length > 64),
        ),
        'A CN is longer than 64 characters (RFC 5280, ub-common-name): OpenSSL does not create such names.',
      ),
    remedy: 'Have the EEC issued under a shorter name.',
  },
]
