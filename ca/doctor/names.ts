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
  'Have the EEC issued under a name of letters, digits, blanks and , . - @ : = _ only.'

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
      'There is a slash, plus, backslash or double quote in the name: it is written otherwise in a Globus grid map than for XRootD and Java.',
  }),
  characters('name-quote', ['XRootD'], {
    pattern: /"/,
    sentence:
      'There is a double quote in the name: in no form is it found in a grid map of XRootD.',
    severity: 'refuses',
  }),
  characters('name-not-ascii', ['XRootD'], {
    pattern: /[^\x20-\x7e\n]/u,
    sentence:
      'There is other than printable ASCII in the name: XRootD makes an unprintable byte of it, others write \\xC3\\xA9.',
  }),
  characters('name-parentheses', ['MyProxy', 'HTCondor'], {
    pattern: /[()]/,
    sentence:
      'There is a parenthesis in the name: MyProxy and HTCondor map names by regular expressions, where it means something else.',
  }),
  {
    id: 'name-email-or-serial-number',
    severity: 'warns',
    relyingParties: java,
    check: (context) =>
      when(
        hasType(context, ['emailAddress', 'serialNumber']),
        'There is an emailAddress or serialNumber in the name: Java writes EMAILADDRESS and SERIALNUMBER.',
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
        'There is a UID in the name: Globus and VOMS write USERID in grid maps.',
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
        'A CN is longer than 64 characters (RFC 5280, ub-common-name): OpenSSL builds none such.',
      ),
    remedy: 'Have the EEC issued under a shorter name.',
  },
]
