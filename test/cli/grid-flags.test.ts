import { expect, test } from 'vitest'
import { translateGridFlags } from '../../src/cli/grid-flags.ts'

const words = (text: string): readonly string[] => text.split(' ').filter((word) => word !== '')

test.for([
  ['proxy init -valid 12:00', 'proxy init --lifetime 12:00'],
  ['proxy init --valid 12:00', 'proxy init --lifetime 12:00'],
  ['proxy init -valid=12:00', 'proxy init --lifetime=12:00'],
  ['proxy init -hours 24 -out f', 'proxy init --lifetime 24h --out f'],
  ['proxy init -hours=24', 'proxy init --lifetime 24h'],
  ['proxy init -limited -bits 2048', 'proxy init --type limited --key-type rsa-2048'],
  ['proxy init -independent -rfc -debug', 'proxy init --type independent --verbose'],
  ['proxy init -path-length 1 -quiet', 'proxy init --path-length 1 --quiet'],
  ['proxy init -o f -l 12h -q', 'proxy init -o f -l 12h -q'],
  ['proxy init -voms cms -voms atlas:/atlas', 'proxy init --voms cms --voms atlas:/atlas'],
  ['proxy info -vo -fqan -actimeleft', 'proxy info --vo --fqan --actimeleft'],
  ['proxy info -acexists cms', 'proxy info --acexists cms'],
  ['proxy init -help', 'proxy init --help'],
  ['-c x --json proxy info -file f -timeleft', '-c x --json proxy info --file f --timeleft'],
  ['proxy info -exists -valid 12:00', 'proxy info --exists --valid 12:00'],
  ['proxy info -exists -hours 12 -bits 2048', 'proxy info --exists --valid 12h --bits 2048'],
  [
    'proxy info -subject -issuer -identity -type',
    'proxy info --subject --issuer --identity --type',
  ],
  ['proxy info -all -text -strength -path', 'proxy info --all --text --strength --path'],
  ['proxy info -- -all', 'proxy info -- -all'],
  ['proxy info -unknown', 'proxy info -unknown'],
  ['proxy destroy -dryrun f', 'proxy destroy --dry-run f'],
  ['proxy destroy -file f -default', 'proxy destroy --file f --default'],
  ['proxy --json info -timeleft', 'proxy --json info --timeleft'],
  ['proxy -c info init -valid 12:00', 'proxy -c info init --lifetime 12:00'],
  ['--json proxy --config=x init -out f', '--json proxy --config=x init --out f'],
  ['proxy --json', 'proxy --json'],
  ['credential list -all', 'credential list -all'],
  ['check -valid 12:00', 'check -valid 12:00'],
  ['proxy', 'proxy'],
  ['', ''],
  ['-c', '-c'],
] as const)('%s', ([given, expected]) => {
  expect(translateGridFlags(words(given))).toEqual(words(expected))
})

test.for([
  ['proxy init -vomses f', '-vomses: the service itself gives the VOMS attributes'],
  ['proxy init -order /cms', '-order: the FQANs come in the order'],
  ['proxy init -cert f', '-cert: the proxy comes from an access token'],
  ['proxy init -pwstdin', '-pwstdin: the proxy comes from an access token'],
  ['proxy init -old', '-old: the service makes proxies of RFC 3820 only'],
  ['proxy init -certdir d', '-certdir: set X509_CERT_DIR'],
  ['proxy info -acissuer', '-acissuer: --json has the issuer'],
] as const)('%s is refused by name', ([given, says]) => {
  expect(() => translateGridFlags(words(given))).toThrow(says)
})
